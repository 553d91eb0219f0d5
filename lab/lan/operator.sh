#!/bin/bash
# The operator's place: a network of its own, the machine's files and processes. Arguments: ADDRESS/BITS FILES.
# Prints its pid on the machine, then waits until its cable is plugged in.
set -eu
read -r pid _ </proc/self/stat
echo operator >/proc/sys/kernel/hostname
mount --bind "$2/etc/hosts" /etc/hosts # names resolve as in the hosts
echo "$pid"
read -r _
ip link set lo up
ip addr add "$1" dev eth0
ip link set eth0 up
echo ready
exec sleep infinity </dev/null >/dev/null 2>&1
