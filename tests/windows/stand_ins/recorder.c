/* Stands for net, netsh and schtasks, which Wine has as stubs or not at all: writes its command line as it came to the
   file RECORD, and ends with the number in RECORD_CODE (0 without). Whether a line is as documented, the test says. */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

int main(void) {
    const char *file = getenv("RECORD"), *code = getenv("RECORD_CODE");
    FILE *record = file ? fopen(file, "ab") : NULL;
    if (!record) return 99;
    fprintf(record, "%s\n", GetCommandLineA());
    fclose(record);
    return code ? atoi(code) : 0;
}
