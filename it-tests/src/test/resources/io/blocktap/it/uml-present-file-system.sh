# Steps of a guest: a file system that was there before, read, changed, and left in order.
step fsck e2fsck -f -n $DEV
step mount mount -o discard $DEV $FS
step compare diff -rq --no-dereference --exclude=lost+found "$TREE" $FS
big() { for i in 1 2 3 4; do cat "$TREE"/*.md || return; done >$FS/big && sync; }
step write big
step remove rm $FS/architecture.md
step drop-caches drop_caches
step sums sh -c "cd $FS && sha256sum big >$FS/big.sha256 && sha256sum -c big.sha256"
step umount umount $FS
step read-all sh -c "cat $DEV >/dev/null"
