# A disk that the toolstack attaches for reading: the kernel sees it as read-only, and the image stays as it is. One that can be written is refused with mode=r.
truncate -s 48M /tmp/vm/ro.img
mke2fs -q -t ext4 -d /tmp/tree /tmp/vm/ro.img
before=$(sum </tmp/vm/ro.img)
attach_here xvda "image:/tmp/vm/ro.img,read-only" r
[ "$(cat /sys/block/xvda/ro)" = 1 ] || fail "the disk can be written"
mount -o ro /dev/xvda /tmp/mnt
diff -r /tmp/tree/files /tmp/mnt/files || fail "the files differ"
umount /tmp/mnt
! dd if=/dev/zero of=/dev/xvda bs=4k count=1 oflag=direct 2>/dev/null || fail "a write got through"
detach dom0 xvda
[ "$(sum </tmp/vm/ro.img)" = "$before" ] || fail "the image has changed"
