@echo off
rem Called by the other scripts: finds the project and Python, makes .venv from the lock file when that is needed.
rem Sets PYTHON and PYTHONPATH. SET_UP=no only looks. FAIRLEAD_PYTHON chooses the interpreter.
for %%I in ("%~dp0..\..") do set "ROOT=%%~fI"
set "PYTHON=%ROOT%\.venv\Scripts\python.exe"
set "PYTHONPATH=%ROOT%"
if exist "%ROOT%\.venv\set_up.txt" exit /b 0
if "%SET_UP%"=="no" goto nothing
set "BASE=%FAIRLEAD_PYTHON%"
if "%BASE%"=="" set "BASE=python"
"%BASE%" -c "import sys; sys.exit(sys.version_info < (3, 11))"
if errorlevel 1 goto no_python
echo Setting up .venv from requirements.lock, once; a minute or so
if not exist "%PYTHON%" "%BASE%" -m venv "%ROOT%\.venv"
if errorlevel 1 goto no_venv
"%PYTHON%" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "%ROOT%\requirements.lock" -r "%ROOT%\requirements-windows.lock"
if errorlevel 1 goto no_packages
echo done>"%ROOT%\.venv\set_up.txt"
exit /b 0

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
