@echo off
rem Node l3 of config.json in the foreground. --lan, --port N. Ctrl-C stops it.
setlocal
call "%~dp0set_up.bat"
if errorlevel 1 exit /b %errorlevel%
"%PYTHON%" -m deploy.run_node l3 %*
exit /b %errorlevel%
