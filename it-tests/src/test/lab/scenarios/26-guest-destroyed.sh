# A guest is destroyed in the middle of writes: other disks are served on, its disk is closed, and what it was told to be on disk is there.
lab_guest_start g2
lab_guest_ready g2
truncate -s 32M /tmp/vm/k.img
be=$(attach g2 xvda "image:/tmp/vm/k.img")
truncate -s 16M /tmp/vm/other.img
attach_here xvdb "image:/tmp/vm/other.img"
cat >/tmp/guest.sh <<'G'
wait_disk xvda || exit 1
echo WRITES >/dev/hvc0
n=0
while [ $n -lt 2000 ]; do
    # two 4 KiB blocks at a time that tell their number; told as written once fsync has come back
    { printf 'block %08d' $n; head -c 8178 /dev/zero; } | dd of=/dev/xvda bs=8192 seek=$n conv=fsync,notrunc 2>/dev/null || exit 2
    dd if=/dev/zero of=/dev/xvda bs=64k seek=300 count=16 oflag=direct 2>/dev/null &
    echo "WROTE $n" >/dev/hvc0
    n=$((n + 1))
done
G
console=$LAB_CONSOLES/guest-g2.log
from=$(($(stat -c %s "$console") + 1))
lab_guest_run g2 /tmp/guest.sh 300 >/tmp/said 2>&1 & guest=$!
lab_guest_says g2 "WROTE 5" 60 "$from" || { cat /tmp/said; fail "the guest does not write"; }
lab_nap 0.7
lab_guest_end g2
! wait $guest || fail "the guest ended by itself"
dd if=/dev/urandom of=/tmp/o bs=64k count=16 2>/dev/null
dd if=/tmp/o of=/dev/xvdb bs=64k oflag=direct 2>/dev/null
dd if=/dev/xvdb of=/tmp/p bs=64k count=16 iflag=direct 2>/dev/null
cmp /tmp/o /tmp/p || fail "the other disk"
detach dom0 xvdb
xenstore-rm "$be" 2>/dev/null || true                   # nodes that xl has not made it does not remove
await 30 "the disk is not closed after its guest's end" flock -n /tmp/vm/k.img true
wrote=$(tail -c +"$from" "$console" | tr -d '\r' | sed -n 's/^WROTE //p' | tail -1)
for n in $(seq 0 "$wrote"); do
    [ "$(dd if=/tmp/vm/k.img bs=8192 skip="$n" count=1 2>/dev/null | head -c 14)" = "$(printf 'block %08d' "$n")" ] || fail "block $n of $wrote is not there"
done
echo "$((wrote + 1)) synced blocks are there after the guest was destroyed"
