#!/bin/bash
# What stands for OpenSSH's server of Windows, as sshd's ForceCommand: commands go to Wine's cmd.exe, SFTP sees drives as /C:.
# Arguments: a prefix of Wine, and a folder of programs that stand for Windows' own. At the first login of all the host gets a
# prefix of its own, whose programs are links into that one; at the first after each boot Windows boots: Wine and the scheduler.
export HOME=/root WINEPREFIX=/root/wine WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= WINEPATH='C:\python' USERDOMAIN=LAN
if [ ! -e /run/windows ]; then
    exec 9>/run/windows.lock
    flock 9
    if [ ! -e /root/wine ]; then
        mkdir -p /root/wine.new/drive_c
        cp "$1"/*.reg "$1/.update-timestamp" /root/wine.new/
        cp -a "$1/dosdevices" /root/wine.new/
        cp -rs "$1/drive_c/." /root/wine.new/drive_c/
        cp --remove-destination "$2"/* /root/wine.new/drive_c/python/
        mv /root/wine.new /root/wine
        ln -s /root/wine/drive_c /C:
    fi
    if [ ! -e /run/windows ]; then
        # What runs on from here must not hold a login's streams; and a Windows program wants a pipe, not a file.
        { wineserver -p3000 && wine wineboot; } </dev/null >/dev/null 2>&1 9>&-
        { wine 'C:\python\python.exe' -I 'C:\python\task_scheduler.py' 2>&1 | cat >/var/log/tasks.log; } </dev/null >/dev/null 2>&1 9>&- &
        touch /run/windows
    fi
    exec 9>&-
fi
case $SSH_ORIGINAL_COMMAND in
internal-sftp* | */sftp-server*) exec /usr/lib/openssh/sftp-server ;;
esac
# A Windows program cannot have sshd's sockets as its streams, but pipes.
cat | wine 'C:\python\cmd_line.exe' 2> >(cat >&2) | cat
exit "${PIPESTATUS[1]}"
