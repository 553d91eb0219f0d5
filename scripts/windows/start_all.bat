@echo off
rem Sets everything up and starts what belongs on this machine, under a keeper. --lan opens it to the LAN.
setlocal
call "%~dp0set_up.bat"
if errorlevel 1 exit /b %errorlevel%
"%PYTHON%" -m deploy.keeper start %*
exit /b %errorlevel%
