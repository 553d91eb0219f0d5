#!/bin/bash
# The process that a LAN hangs on: first of its pid namespace, owner of the network namespace with the switch and of the mount
# namespace with the hosts' disks. When it dies, the kernel ends every process in it and nothing is left of the LAN.
# Arguments: DISKS DISK_MB HOST... Prints its pid on the machine, then reads one word: `stay`, or the end of file, which ends the
# LAN.
set -eu
read -r pid _ </proc/self/stat # the machine's /proc, so the machine's number

disks=$1 disk_mb=$2
shift 2
mount -t tmpfs -o size=1m,mode=0700 disks "$disks"
for host in "$@"; do # they are the keeper's, not the host's: a disk outlives a power cut
    mkdir "$disks/$host"
    mount -t tmpfs -o "size=${disk_mb}m,mode=0755" "disk-$host" "$disks/$host"
done
# The switch has no address and the namespace no uplink: nothing gets from the LAN to the machine or further.
ip link set lo up
ip link add lan0 type bridge
ip link set lan0 up
echo "$pid"

read -r word || exit 0
exec </dev/null >/dev/null 2>&1
while [ "$word" = stay ]; do
    sleep infinity & # a child, so that this shell sits in `wait` and reaps what the hosts leave behind
    wait $!
done
