@echo off
rem Says what runs and what answers; --json for programs. Exit code 0: all is well, 3: not.
setlocal
set "SET_UP=no"
call "%~dp0set_up.bat"
if errorlevel 1 exit /b %errorlevel%
"%PYTHON%" -m deploy.keeper status %*
exit /b %errorlevel%
