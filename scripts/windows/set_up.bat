@echo off
rem Called by the other scripts: finds the project and Python, makes .venv from the lock files when that is needed.
rem Sets PYTHON, PYTHONPATH, PYTHONUTF8. SET_UP=no only looks. FAIRLEAD_PYTHON chooses the interpreter.
for %%I in ("%~dp0..\..") do set "ROOT=%%~fI"
set "PYTHON=%ROOT%\.venv\Scripts\python.exe"
set "PYTHONPATH=%ROOT%"
set "PYTHONUTF8=1"
if not exist "%ROOT%\.venv\set_up.txt" goto not_yet
if "%SET_UP%"=="no" exit /b 0
"%PYTHON%" -m deploy.windows.set_up 2>nul
if not errorlevel 1 exit /b 0

:not_yet
if "%SET_UP%"=="no" goto nothing
set "BASE=%FAIRLEAD_PYTHON%"
if not "%BASE%"=="" goto base
set "BASE=python"
rem Without a Python on PATH, the one that the launcher of python.org's installer finds.
"%BASE%" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>nul
if errorlevel 1 set "BASE=py"

:base
"%BASE%" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>nul
if errorlevel 1 goto no_python
"%PYTHON%" -c "import pip" 2>nul
if not errorlevel 1 goto packages
"%BASE%" -m venv --clear "%ROOT%\.venv"
if errorlevel 1 goto no_venv

:packages
echo Setting up .venv from requirements.lock, once; a minute or so
"%PYTHON%" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "%ROOT%\requirements.lock" -r "%ROOT%\requirements-windows.lock"
if errorlevel 1 goto no_packages
"%PYTHON%" -m deploy.windows.set_up --done
exit /b %errorlevel%

:nothing
echo Nothing is set up here yet, so nothing runs: scripts\windows\start_all.bat does both 1>&2
exit /b 3

:no_python
echo Fairlead needs Python 3.11 or newer, from python.org; or set FAIRLEAD_PYTHON to its python.exe 1>&2
exit /b 1

:no_venv
echo A virtual environment could not be made in "%ROOT%\.venv" 1>&2
exit /b 1

:no_packages
echo The packages of requirements.lock could not be installed; pip's reason stands above 1>&2
exit /b 1
