# A PV guest's disk: made, written, verified, from outside, too.
lab_guest_start g1
lab_guest_ready g1
attach g1 xvda main >/dev/null
cat >/tmp/guest.sh <<'G'
wait_disk xvda || exit 1
echo "disk: $(cat /sys/block/xvda/size) sectors, max_segments $(cat /sys/block/xvda/queue/max_segments), $(cat /sys/block/xvda/queue/write_cache), discard $(cat /sys/block/xvda/queue/discard_max_bytes)"
dmesg | grep blkfront
dd if=/dev/urandom of=/tmp/a bs=64k count=64 2>/dev/null
dd if=/tmp/a of=/dev/xvda bs=64k conv=fsync 2>/dev/null || exit 2
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/xvda of=/tmp/b bs=64k count=64 2>/dev/null || exit 3
a=$(sha256sum </tmp/a) b=$(sha256sum </tmp/b)
[ "$a" = "$b" ] || { echo "MISMATCH $a $b"; exit 4; }
mke2fs -q /dev/xvda && mount -t ext4 /dev/xvda /mnt && cp /tmp/a /mnt/a && umount /mnt && mount -t ext4 -o ro /dev/xvda /mnt || exit 5
[ "$(sha256sum </mnt/a)" = "$a" ] || { echo "MISMATCH in the file system"; exit 6; }
umount /mnt
echo "VERIFIED $a"
G
lab_guest_run g1 /tmp/guest.sh >/tmp/said || { cat /tmp/said; fail "the guest's script"; }
grep -v "^.g1. [ A-Z0-9].*=\|blocks" /tmp/said | head -20
detach g1 xvda
is_clean /tmp/main.img
mount -o loop,ro /tmp/main.img /tmp/mnt
grep -qF "VERIFIED $(sum </tmp/mnt/a)" /tmp/said || fail "the image does not hold the guest's file"
umount /tmp/mnt
