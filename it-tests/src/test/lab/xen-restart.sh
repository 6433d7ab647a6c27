#!/bin/bash
# In the lab's dom0: the server ends and is killed, again and again, under a PV guest that writes and verifies. Needs in /share what run.sh puts there.
# Arguments: KILLS (3)  TERMS (2)
set -eu
kills=${1:-3} terms=${2:-2}
java_flags=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xmx96m)
blocktap() { exec java "${java_flags[@]}" -cp "/share/lib/*" io.blocktap.launcher.Main "$@"; }
starts=0
start() {
    starts=$((starts + 1))
    : >/tmp/ready
    blocktap serve --tap xen --threads 1 image:/tmp/disk.img >/tmp/ready 2>>/tmp/log &
    server=$!
    for _ in $(seq 360); do [ -s /tmp/ready ] && return 0; kill -0 "$server" || { cat /tmp/log; exit 1; }; lab_nap 0.25; done
    echo "the server does not get ready"; cat /tmp/log; exit 1
}
truncate -s 32M /tmp/disk.img
lab_guest_start g1
start
lab_guest_ready g1
be=$(lab_vbd_add g1 51712 "")
cat >/tmp/guest.sh <<'G'
wait_disk xvda || exit 1
dmesg -c >/dev/null
dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
sum=$(sha256sum </tmp/a)
mke2fs -q /dev/xvda && mount -t ext4 /dev/xvda /mnt || exit 2
echo GUEST-WRITES >/dev/hvc0
n=0
while [ ! -e /tmp/stop ] && [ $n -lt ROUNDS ]; do
    n=$((n + 1))
    # several writers at once, past the page cache: many requests on their way
    dd if=/tmp/a of=/mnt/d1 bs=4k oflag=direct 2>/dev/null & p1=$!
    dd if=/tmp/a of=/mnt/d2 bs=16k oflag=direct 2>/dev/null & p2=$!
    cp /tmp/a /mnt/c && sync || exit 3
    wait $p1 || exit 4
    wait $p2 || exit 5
    echo 3 >/proc/sys/vm/drop_caches
    for f in d1 d2 c; do
        [ "$(sha256sum </mnt/$f)" = "$sum" ] || { echo "MISMATCH in $f, round $n"; exit 6; }
    done
    rm /mnt/d1 /mnt/d2 /mnt/c
    echo GUEST-ROUND-$n >/dev/hvc0
done
umount /mnt || exit 7
dmesg | grep -iE 'I/O error|blkfront|disabled' && exit 8
echo "$n rounds of 3 files verified, no error in dmesg"
G
sed -i "s/ROUNDS/$((2 * (kills + terms)))/" /tmp/guest.sh
rc=0
lab_guest_run g1 /tmp/guest.sh 400 >/tmp/guest.out 2>&1 &
guest=$!
lab_guest_says g1 GUEST-WRITES 120
for i in $(seq "$((kills + terms))"); do
    lab_nap "$((1 + i % 3)).$((i * 37 % 100))"
    kill -0 "$guest" 2>/dev/null || { echo "the guest ended before restart $i"; break; }
    if [ $((i % 2)) = 1 ] && [ "$kills" -gt 0 ] || [ "$terms" = 0 ]; then
        kills=$((kills - 1)); echo "--- kill -9 ($i)"
        kill -KILL "$server"; wait "$server" || true
        ls -l /run/blocktap/xen
    else
        terms=$((terms - 1)); echo "--- SIGTERM ($i)"
        kill -TERM "$server"; wait "$server" || { echo "server: exit $?"; rc=9; }
        [ -z "$(ls /run/blocktap/xen)" ] || { echo "a clean end left a table"; ls -l /run/blocktap/xen; rc=10; }
    fi
    echo "states: backend $(xenstore-read "$be/state"), frontend $(xenstore-read "/local/domain/$(lab_domid g1)/device/vbd/51712/state")"
    start
done
wait "$guest" || rc=$?
cat /tmp/guest.out
lab_vbd_remove "$be" || rc=11
kill -TERM "$server"; wait "$server" || { echo "server: exit $?"; rc=12; }
cat /tmp/log
echo "--- $starts starts, $(grep -c 'taken over' /tmp/log) take-overs after kill -9"
grep -q 'taken over' /tmp/log || { echo "no ring was taken over"; rc=13; }
[ -z "$(ls /run/blocktap/xen)" ] || { echo "tables are left behind"; ls -l /run/blocktap/xen; rc=14; }
e2fsck -fn /tmp/disk.img || rc=15
lab_guest_end g1
exit $rc
