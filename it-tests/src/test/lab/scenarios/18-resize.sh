# A disk that grows while it is connected: blkfront sees the new size, and the file system grows into it.
truncate -s 16M /tmp/vm/g.img
attach_here xvda "image:/tmp/vm/g.img"
mke2fs -q -t ext4 /dev/xvda
truncate -s 40M /tmp/vm/g.img
await 30 "the frontend does not see the new size" grep -qx 81920 /sys/block/xvda/size
resize2fs /dev/xvda 2>/dev/null || { e2fsck -fy /dev/xvda >/dev/null; resize2fs /dev/xvda; }
mount /dev/xvda /tmp/mnt
dd if=/dev/urandom of=/tmp/mnt/big bs=1M count=28 2>/dev/null || fail "the new room can't be used"
want=$(sum </tmp/mnt/big)
umount /tmp/mnt
echo 3 >/proc/sys/vm/drop_caches
mount -o ro /dev/xvda /tmp/mnt
[ "$(sum </tmp/mnt/big)" = "$want" ] || fail "wrong content"
umount /tmp/mnt
detach dom0 xvda
is_clean /tmp/vm/g.img
