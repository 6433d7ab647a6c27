# Two guests with two disks each, all four at once: each has its own content afterwards. The second guest has two processors, so two rings a disk.
lab_guest_start g1
lab_guest_end g2
lab_guest_start g2 160 "vcpus=2"
for disk in g1-a g1-b g2-a g2-b; do truncate -s 16M "/tmp/vm/$disk.img"; done
lab_guest_ready g1; lab_guest_ready g2
for guest in g1 g2; do
    attach $guest xvda "image:/tmp/vm/$guest-a.img" >/dev/null
    attach $guest xvdb "image:/tmp/vm/$guest-b.img" >/dev/null
done
cat >/tmp/guest.sh <<'G'
wait_disk xvda && wait_disk xvdb || exit 1
for d in a b; do
    (
        dd if=/dev/urandom of=/tmp/$d bs=64k count=32 2>/dev/null
        dd if=/tmp/$d of=/dev/xvd$d bs=16k conv=fsync 2>/dev/null || exit 2
        echo 3 >/proc/sys/vm/drop_caches
        dd if=/dev/xvd$d of=/tmp/$d.back bs=64k count=32 2>/dev/null || exit 3
        cmp /tmp/$d /tmp/$d.back || exit 4
        mke2fs -q /dev/xvd$d && mkdir -p /mnt/$d && mount -t ext4 /dev/xvd$d /mnt/$d && cp /tmp/$d /mnt/$d/file && umount /mnt/$d || exit 5
        echo "VERIFIED $d $(sha256sum </tmp/$d)"
    ) & eval "$d=$!"
done
wait $a || exit 6
wait $b || exit 7
G
lab_guest_run g1 /tmp/guest.sh >/tmp/said-g1 & one=$!
lab_guest_run g2 /tmp/guest.sh >/tmp/said-g2 & two=$!
wait $one || { cat /tmp/said-g1; fail "g1"; }
wait $two || { cat /tmp/said-g2; fail "g2"; }
for disk in 51712 51728; do
    [ "$(logged "xen domain $(lab_domid g2) device $disk: connected to disk 'xen $(lab_domid g2)/$disk', 2 ring(s)")" -gt 0 ] || fail "device $disk of g2 has not two rings"
done
for guest in g1 g2; do
    detach $guest xvda; detach $guest xvdb
    for d in a b; do
        is_clean /tmp/vm/$guest-$d.img
        mount -o loop,ro /tmp/vm/$guest-$d.img /tmp/mnt
        grep -qF "VERIFIED $d $(sum </tmp/mnt/file)" /tmp/said-$guest || fail "$guest's disk $d does not hold its file"
        umount /tmp/mnt
    done
done
