# The server is killed and ended under a guest, and under domain 0, that write past their caches and verify: they notice nothing but a pause.
# RESTARTS in the environment: what is done to the server, in this order
lab_guest_start g1
lab_guest_ready g1
truncate -s 32M /tmp/vm/s.img
guests=$(attach g1 xvda "image:/tmp/vm/s.img")
truncate -s 64M /tmp/vm/t.img
attach_here xvdb "image:/tmp/vm/t.img"
cat >/tmp/guest.sh <<'G'
wait_disk xvda || exit 1
dmesg -c >/dev/null
dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
sum=$(sha256sum </tmp/a)
mke2fs -q /dev/xvda && mount -t ext4 /dev/xvda /mnt || exit 2
echo GUEST-WRITES >/dev/hvc0
n=0
while [ $n -lt ROUNDS ]; do
    n=$((n + 1))
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
done
umount /mnt || exit 7
dmesg | grep -iE 'I/O error|blkfront|disabled' && exit 8
echo "$n rounds of 3 files verified, no error in dmesg"
G
restarts=${RESTARTS:-TERM KILL}
set -- $restarts
sed -i "s/ROUNDS/$((2 * $#))/" /tmp/guest.sh
console=$LAB_CONSOLES/guest-g1.log
from=$(($(stat -c %s "$console") + 1))
(   # eight writers at once keep requests on their way at any time
    dd if=/dev/urandom of=/tmp/w bs=1M count=6 2>/dev/null
    while [ ! -e /tmp/stop ]; do
        for i in 0 1 2 3 4 5 6 7; do
            dd if=/tmp/w of=/dev/xvdb bs=44k oflag=direct seek=$((i * 149)) conv=notrunc count=136 2>/dev/null & pids[i]=$!
        done
        for i in 0 1 2 3 4 5 6 7; do wait "${pids[i]}" || exit 1; done
    done
    echo 3 >/proc/sys/vm/drop_caches
    for i in 0 1 2 3 4 5 6 7; do
        cmp <(dd if=/dev/xvdb bs=44k skip=$((i * 149)) count=136 2>/dev/null) <(head -c $((136 * 45056)) /tmp/w) || exit 2
    done
) & writers=$!
lab_guest_run g1 /tmp/guest.sh 400 >/tmp/said 2>&1 & guest=$!
lab_guest_says g1 GUEST-WRITES 120 "$from" || { cat /tmp/said; fail "the guest does not write"; }
before=$(logged "taken over from a server that was killed")
for signal in "$@"; do
    lab_nap 1.3
    kill -0 $guest 2>/dev/null || fail "the guest ended before SIG$signal"
    code=$(server_end $signal)
    case $signal in
        KILL)
            [ "$code" = 137 ] || fail "exit code $code"
            compgen -G '/run/blocktap/xen/*' >/dev/null || fail "no table of what is in flight" ;;
        TERM)
            [ "$code" = 0 ] || fail "exit code $code after SIGTERM"
            ! compgen -G '/run/blocktap/xen/*' || fail "a clean end left a table" ;;
    esac
    [ "$(xenstore-read "$guests/state")" = 4 ] || fail "the guest's disk has state $(xenstore-read "$guests/state")"
    server_start
done
: >/tmp/stop
wait $guest || { cat /tmp/said; fail "the guest's script: $?"; }
grep "rounds of" /tmp/said
wait $writers || fail "the writers of domain 0: $?"
took=$(($(logged "taken over from a server that was killed") - before))
[ $took -gt 0 ] || fail "no ring was taken over"
grep -F "taken over from a server that was killed" /tmp/log | sed 's/.*killed, /taken over: /'
detach g1 xvda
detach dom0 xvdb
is_clean /tmp/vm/s.img
! compgen -G '/run/blocktap/xen/*' || fail "tables are left behind"
