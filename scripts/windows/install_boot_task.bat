@echo off
rem The fleet starts at each boot; as administrator. --lan, --remove.
setlocal
call "%~dp0set_up.bat"
if errorlevel 1 exit /b %errorlevel%
"%PYTHON%" -m deploy.windows.boot_task %*
exit /b %errorlevel%
