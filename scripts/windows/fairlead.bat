@echo off
rem The command fairlead: looks at and steers a running balancer. fairlead --help
setlocal
set "SET_UP=no"
call "%~dp0set_up.bat"
if errorlevel 1 exit /b %errorlevel%
"%PYTHON%" -m balancer.cli %*
exit /b %errorlevel%
