#!/bin/bash
# Boots one host: the first process of its pid namespace, which stays and keeps sshd alive, or becomes systemd.
# Arguments: NAME ADDRESS/BITS DISK FILES INIT SHARED... (FILES is laid over the disk at the first boot; INIT is sh or systemd;
# SHARED are seen read-only).
# Prints its pid on the machine, waits until its cable is plugged in, and prints `ready` when sshd answers.
set -eu
name=$1 address=$2 disk=$3 files=$4 init=$5
shift 5
read -r pid _ </proc/self/stat # still the machine's /proc, so the machine's number
echo "$pid"
echo "$name" >/proc/sys/kernel/hostname
umask 022

# The disk survives a power cut: `root` holds what is the host's alone, /usr and /etc begin as the machine's and diverge.
root=$disk/root first_boot=
[ -e "$root" ] || first_boot=1
mkdir -p "$root"/{dev,proc,sys,run,tmp,etc,usr,root,home,opt,srv,mnt,media,boot,var/{cache,lib/dpkg,log,spool,tmp}} "$disk"/{etc,usr,dpkg}/{upper,work}
mount --bind "$root" "$root"
cd "$root"
overlay() { # MACHINE'S FOLDER, NAME ON THE DISK
    mount -t overlay -o "lowerdir=$1,upperdir=$disk/$2/upper,workdir=$disk/$2/work" "$name" ".$1"
}
overlay /usr usr
overlay /etc etc
[ ! -d /var/lib/dpkg ] || overlay /var/lib/dpkg dpkg
if [ -n "$first_boot" ]; then
    cp -P /bin /sbin /lib* . # links into /usr (Debian's merged /usr)
    ln -s /run var/run
    chmod 0700 root
    chmod 1777 tmp var/tmp
    # The machine's own secrets and settings are none of the host's.
    rm -rf etc/pip.conf etc/ssh/ssh_host_* etc/systemd/system/*.wants etc/rc?.d/S* etc/machine-id etc/resolv.conf
    cp -r "$files/." .
    chmod 0600 etc/ssh/ssh_host_*_key
    touch var/log/lastlog var/log/wtmp
fi
rm -rf tmp/* # as a real boot does
for folder in "$@"; do
    mkdir -p ".$folder"
    mount --bind "$folder" ".$folder"
    mount -o remount,bind,ro ".$folder"
done

mount -t tmpfs -o mode=0755,size=64m run run
mkdir -p run/lock run/sshd
mount -t tmpfs -o mode=0755,size=64k,nosuid dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,size=256m shm dev/shm
for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t sysfs -o ro sysfs sys
mount -t proc -o nosuid,nodev,noexec proc proc
# Switches of the one kernel, not of this host; its network settings are its own.
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
if [ -e proc/sysrq-trigger ]; then
    mount --bind proc/sysrq-trigger proc/sysrq-trigger
    mount -o remount,bind,ro proc/sysrq-trigger
fi

[ "$init" != systemd ] || mount -t cgroup2 cgroup2 sys/fs/cgroup # whose top is this host's own cgroup

pivot_root . .
umount -l .
cd /

/usr/sbin/sshd -t -f /etc/ssh/sshd_lan_config # says what is wrong, if anything
read -r _                                     # until eth0 is there
ip link set lo up
ip addr add "$address" dev eth0
ip link set eth0 up

answers() {
    until read -r _ </dev/tcp/127.0.0.1/22; do sleep 0.02; done 2>/dev/null
    echo ready
}
answers &
if [ "$init" = systemd ]; then
    # `container` keeps it from what is the machine's: devices, consoles, the clock.
    exec env -i container=lan PATH="$PATH" /lib/systemd/systemd --unit=multi-user.target </dev/null >/dev/null 2>&1
fi
exec </dev/null >/dev/null 2>&1
while :; do # what sits in `wait` also reaps every orphan of the host
    /usr/sbin/sshd -D -e -f /etc/ssh/sshd_lan_config >>/var/log/sshd.log 2>&1 &
    wait $! || true
    sleep 0.2
done
