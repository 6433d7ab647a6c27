#!/bin/bash
# Domain 0 of a real Xen: event channels, mapped grants and grant copies through blocktap's own classes, then the system calls that they cost.
# Needs in /share what run.sh puts there. Arguments: NOTIFICATIONS (100000) ROUNDS (1000)
set -eu
modprobe -a xen-evtchn xen-gntdev xen-gntalloc
cp -r /share/lib /share/test-classes /tmp/
lab() {
    # Flags that suit a JVM under emulation: no second compiler, one-threaded collector.
    "$@" java -ea -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xmx160m -cp "/tmp/test-classes:/tmp/lib/*" \
        io.blocktap.it.lab.XenDevicesLab "${arguments[@]}"
}
arguments=("${1:-100000}" "${2:-1000}")
lab env
count() { # STEP: the system calls on Xen's devices, as strace -c but told apart by device and request
    arguments=(2000 0 "$1")
    lab strace -f -y --seccomp-bpf -qq -e trace=ioctl,read,write -e signal=none -o /tmp/trace
    sed -nE 's#^[0-9]+ +(ioctl|read|write)\([0-9]+<(/dev/xen/[a-z]+)[^>]*>(, [A-Z_][^,(]*(\([^)]*\))?)?.*#\2 \1\3#p' /tmp/trace | sort | uniq -c
}
if command -v strace >/dev/null; then
    echo "--- system calls of 2000 notifications between two epoll loops"
    count pingpong
    echo "--- system calls of 400 segments, 3 turns each way, and 40 turns from the guest"
    count copies
fi
