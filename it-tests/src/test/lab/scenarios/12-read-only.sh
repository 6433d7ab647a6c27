# A disk that the toolstack attaches for reading: the kernel sees it as read-only, and the image stays as it is. One that can be written is refused with mode=r.
truncate -s 48M /tmp/vm/ro.img
mke2fs -q -t ext4 -d /tmp/tree /tmp/vm/ro.img
before=$(sum </tmp/vm/ro.img)
attach_here xvda "image:/tmp/vm/ro.img,read-only" r
[ "$(cat /sys/block/xvda/ro)" = 1 ] || fail "the disk can be written"
[ "$(cat /sys/block/xvda/removable)" = 0 ] || fail "the disk is removable"
[ "$(cat /sys/block/xvda/queue/physical_block_size)" = 4096 ] || fail "physical sectors of $(cat /sys/block/xvda/queue/physical_block_size) bytes"
mount -o ro /dev/xvda /tmp/mnt
diff -r /tmp/tree/files /tmp/mnt/files || fail "the files differ"
umount /tmp/mnt
! dd if=/dev/zero of=/dev/xvda bs=4k count=1 oflag=direct 2>/dev/null || fail "a write got through"
detach dom0 xvda

# The same as a CD in a drive.
be=/local/domain/0/backend/tap/0/$(vdev xvdc) fe=/local/domain/0/device/vbd/$(vdev xvdc)
xenstore-write "$be" "" "$fe" ""
xenstore-write "$be/frontend" "$fe" "$be/frontend-id" 0 "$be/online" 1 "$be/removable" 1 "$be/dev" xvdc "$be/type" tap "$be/mode" r "$be/device-type" cdrom \
    "$be/params" image:/tmp/vm/ro.img,read-only "$be/state" 1 \
    "$fe/backend" "$be" "$fe/backend-id" 0 "$fe/virtual-device" "$(vdev xvdc)" "$fe/device-type" cdrom "$fe/protocol" x86_64-abi "$fe/state" 1
await 30 "no /dev/xvdc" [ -b /dev/xvdc ]
[ "$(cat /sys/block/xvdc/removable)" = 1 ] || fail "the CD is not removable"
[ $(($(xenstore-read "$be/info") & 5)) = 5 ] || fail "info $(xenstore-read "$be/info") is not that of a read-only CD" # VDISK_CDROM 1, VDISK_READONLY 4
[ "$(sum </dev/xvdc)" = "$before" ] || fail "the CD has other content"
detach dom0 xvdc
[ "$(sum </tmp/vm/ro.img)" = "$before" ] || fail "the image has changed"
