# Discards reach the image: a deleted file's blocks are given back, so that du of the image shrinks.
truncate -s 64M /tmp/vm/d.img
attach_here xvda "image:/tmp/vm/d.img"
mke2fs -q -t ext4 /dev/xvda
mount /dev/xvda /tmp/mnt
dd if=/dev/urandom of=/tmp/mnt/big bs=1M count=24 2>/dev/null
sync -f /tmp/mnt
full=$(du -k /tmp/vm/d.img | cut -f1)
rm /tmp/mnt/big
sync -f /tmp/mnt
fstrim -v /tmp/mnt
less=$(du -k /tmp/vm/d.img | cut -f1)
umount /tmp/mnt
[ $((full - less)) -ge 20000 ] || fail "the image had $full KiB, and has $less"
blkdiscard /dev/xvda
none=$(du -k /tmp/vm/d.img | cut -f1)
[ "$none" -lt 100 ] || fail "$none KiB are left after blkdiscard"
detach dom0 xvda
echo "$full KiB with a file of 24 MiB, $less after fstrim, $none after blkdiscard"
