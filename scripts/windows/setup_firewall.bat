@echo off
rem Opens this host to the fleet, and to nobody else; as administrator. --remove takes the rules away.
setlocal
call "%~dp0set_up.bat"
if errorlevel 1 exit /b %errorlevel%
"%PYTHON%" -m deploy.windows.firewall %*
exit /b %errorlevel%
