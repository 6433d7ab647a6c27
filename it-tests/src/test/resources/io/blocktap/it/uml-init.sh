#!/bin/bash
# The first and only program of a guest: a Linux kernel run as a process by User-Mode Linux, with the host's own files as its root,
# read-only. It attaches /dev/nbd0 to the server under test, sources the steps that the kernel's command line names, and ends.
# Prints "PASS name milliseconds" or "FAIL name milliseconds: reason" for each step, "KERNEL ..." for what the kernel complained
# of, and "guest: end" as its last line.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /mnt
mkdir -p /dev/shm /mnt/fs /mnt/tmp
mount -t tmpfs shm /dev/shm
export HOME=/mnt/tmp TMPDIR=/mnt/tmp
cd /mnt/tmp || exit 1

arg() { sed -n "s/.* $1=\([^ ]*\).*/\1/p" /proc/cmdline; }

# Runs a step: name, command, arguments.
step() {
    local name=$1 start
    start=$(date +%s%N)
    shift
    if "$@" >out 2>&1; then
        echo "PASS $name $((($(date +%s%N) - start) / 1000000))"
    else
        echo "FAIL $name $((($(date +%s%N) - start) / 1000000)): $(tail -n 3 out | tr '\n' ' ')"
    fi
}

DEV=/dev/nbd0
FS=/mnt/fs
TREE=$(arg tree)
drop_caches() { sync && echo 3 >/proc/sys/vm/drop_caches; }
queue() { cat "/sys/block/nbd0/queue/$1"; }

ip link set lo up
ip addr add 192.0.2.2/30 dev vec0
ip link set vec0 up
step module insmod "/usr/lib/uml/modules/$(uname -r)/kernel/drivers/block/nbd.ko" nbds_max=1
step connect nbd-client -N "$(arg disk)" 192.0.2.1 10809 $DEV -b 512 -C "$(arg sockets)"
echo "guest: Linux $(uname -r), $(blockdev --getsize64 $DEV) bytes, cache: $(queue write_cache), fua: $(queue fua)," \
    "discard limit $(queue discard_max_bytes)"

. "$(arg steps)"

step disconnect nbd-client -d $DEV
dmesg | grep -iE 'I/O error|critical|corrupt|timed out|call trace|control failed' | tail -n 5 | sed 's/^/KERNEL /'
echo "guest: end"
echo o >/proc/sysrq-trigger
sleep 5
