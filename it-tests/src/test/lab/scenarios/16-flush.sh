# A guest's fsync reaches fdatasync of the image, and not before it is asked for.
truncate -s 16M /tmp/vm/f.img
attach_here xvda "image:/tmp/vm/f.img"
[ "$(cat /sys/block/xvda/queue/write_cache)" = "write back" ] || fail "no write-back cache is seen: $(cat /sys/block/xvda/queue/write_cache)"
rm -f /tmp/trace; : >/tmp/strace.err
strace -f -qq -y -e trace=fdatasync,fsync -e signal=none -o /tmp/trace -p "$(server_pid)" 2>/tmp/strace.err &
strace=$!
await 30 "strace does not attach: $(cat /tmp/strace.err)" grep -q "^TracerPid:[[:space:]]*$strace" "/proc/$(server_pid)/task/$(server_pid)/status"
lab_nap 2                                               # the last of its threads
dd if=/dev/urandom of=/dev/xvda bs=64k count=16 oflag=direct 2>/dev/null
! grep -q f.img /tmp/trace || fail "a write was synced that nobody has asked for"
for i in 1 2 3; do dd if=/dev/urandom of=/dev/xvda bs=4k count=1 seek="$i" conv=fsync 2>/dev/null; done
kill $strace; wait $strace || true
synced=$(grep -c 'fdatasync([0-9]*</tmp/vm/f.img>) *= 0' /tmp/trace) || { cat /tmp/trace; fail "no fdatasync"; }
[ "$synced" -ge 3 ] || fail "$synced fdatasync for 3 fsync"
detach dom0 xvda
echo "3 fsync, $synced fdatasync of the image"
