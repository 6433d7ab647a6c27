#!/bin/bash
# In the lab's dom0: a real PV guest's disk, served by blocktap in dom0, with a real file system in it. Needs in /share what run.sh puts there.
set -eu
java_flags=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xmx96m)
blocktap() { exec java "${java_flags[@]}" -cp "/share/lib/*" io.blocktap.launcher.Main "$@"; }

truncate -s 32M /tmp/disk.img
lab_guest_start g1
blocktap serve --tap xen --threads 1 image:/tmp/disk.img >/tmp/ready 2>/tmp/log &
server=$!
lab_guest_ready g1
for _ in $(seq 240); do [ -s /tmp/ready ] && break; kill -0 "$server" || { cat /tmp/log; exit 1; }; lab_nap 0.25; done
cat /tmp/ready
be=$(lab_vbd_add g1 51712 "")
cat >/tmp/guest.sh <<'G'
wait_disk xvda || exit 1
echo "disk: $(cat /sys/block/xvda/size) sectors, max_segments $(cat /sys/block/xvda/queue/max_segments), $(cat /sys/block/xvda/queue/write_cache), discard $(cat /sys/block/xvda/queue/discard_max_bytes)"
dmesg | grep blkfront
dd if=/dev/urandom of=/tmp/a bs=64k count=64 2>/dev/null
time dd if=/tmp/a of=/dev/xvda bs=64k conv=fsync || exit 2
echo 3 >/proc/sys/vm/drop_caches
time dd if=/dev/xvda of=/tmp/b bs=64k count=64 || exit 3
a=$(sha256sum </tmp/a) b=$(sha256sum </tmp/b)
[ "$a" = "$b" ] || { echo "MISMATCH $a $b"; exit 4; }
echo "4 MiB verified: $a"
mke2fs -q /dev/xvda && mount -t ext4 /dev/xvda /mnt && cp /tmp/a /mnt/a && umount /mnt && mount -t ext4 -o ro /dev/xvda /mnt || exit 5
[ "$(sha256sum </mnt/a)" = "$a" ] || { echo "MISMATCH in the file system"; exit 6; }
umount /mnt; echo "ext4 verified"
G
rc=0; lab_guest_run g1 /tmp/guest.sh || rc=$?
xenstore-ls -f "$be"
xenstore-ls -f "/local/domain/$(lab_domid g1)/device/vbd"
lab_vbd_remove "$be" || rc=8
kill -TERM "$server"; wait "$server" || { echo "server: exit $?"; rc=9; }
cat /tmp/log
e2fsck -fn /tmp/disk.img || rc=7
lab_guest_end g1
exit $rc
