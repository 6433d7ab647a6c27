# Steps of a guest: a new file system, filled, read back past the cache, written at random with checksums, and checked.
step mkfs mkfs.ext4 -q -F -L guest $DEV
step mount mount $DEV $FS
step copy cp -a "$TREE" $FS/tree
step drop-caches drop_caches
step compare diff -rq --no-dereference "$TREE" $FS/tree
step random-writes fio --name=v --directory=$FS --size=8M --rw=randwrite --bsrange=512-64k --blockalign=512 --ioengine=psync \
    --direct=1 --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0
step fsync fio --name=s --directory=$FS --size=256k --rw=write --bs=4k --fsync=1
step trim fstrim $FS
step compare-again diff -rq --no-dereference "$TREE" $FS/tree
step umount umount $FS
step fsck e2fsck -f -n $DEV
