# Domain 0's own blkfront: a file system made, filled, verified; "dump" sees each request; the image is clean and holds the files afterwards.
truncate -s 48M /tmp/vm/a.img
attach_here xvda "dump:/tmp/vm/a.trace image:/tmp/vm/a.img"
mke2fs -q -t ext4 /dev/xvda
mount /dev/xvda /tmp/mnt
cp -r /tmp/tree/files /tmp/mnt/
umount /tmp/mnt
echo 3 >/proc/sys/vm/drop_caches
mount -o ro /dev/xvda /tmp/mnt
diff -r /tmp/tree/files /tmp/mnt/files || fail "the files differ"
umount /tmp/mnt
detach dom0 xvda
is_clean /tmp/vm/a.img
[ "$(grep -c '<WRITE\]' /tmp/vm/a.trace)" -gt 10 ] || { head -5 /tmp/vm/a.trace; fail "no writes in the trace"; }
grep -q '<FLUSH\]' /tmp/vm/a.trace || fail "no flush in the trace"
mount -o loop,ro /tmp/vm/a.img /tmp/mnt
diff -r /tmp/tree/files /tmp/mnt/files || fail "the image's files differ"
umount /tmp/mnt
echo "$(find /tmp/tree/files -type f | wc -l) files, $(du -sk /tmp/tree/files | cut -f1) KiB verified; $(wc -l </tmp/vm/a.trace) lines in the trace"
