/* As OpenSSH's server on Windows: hands the command of the login to cmd.exe as it came, and ends with its exit code. */
#include <wchar.h>
#include <windows.h>

int wmain(void) {
    static wchar_t command[32000], line[32768];
    STARTUPINFOW startup = {sizeof startup};
    PROCESS_INFORMATION process;
    DWORD code = 1;
    GetEnvironmentVariableW(L"SSH_ORIGINAL_COMMAND", command, 32000);
    _snwprintf(line, 32767, L"cmd.exe /c \"%ls\"", command);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) return 99;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return code;
}
