/* netsh.exe and schtasks.exe of a stand-in host: hands its command line as it came to administration.py. */
#include <wchar.h>
#include <windows.h>

int wmain(void) {
    static wchar_t line[32768];
    STARTUPINFOW startup = {sizeof startup};
    PROCESS_INFORMATION process;
    DWORD code = 1;
    _snwprintf(line, 32767, L"C:\\python\\python.exe -I C:\\python\\administration.py %ls", GetCommandLineW());
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) return 99;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return code;
}
