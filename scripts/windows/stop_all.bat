@echo off
rem Finishes what is in hand and stops everything that start_all.bat started.
setlocal
set "SET_UP=no"
call "%~dp0set_up.bat"
if errorlevel 3 exit /b 0
if errorlevel 1 exit /b %errorlevel%
"%PYTHON%" -m deploy.keeper stop %*
exit /b %errorlevel%
