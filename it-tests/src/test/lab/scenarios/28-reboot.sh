# A guest reboots (xl makes a new domain): the disk is attached to the new one, and holds what the old one has written.
lab_guest_end g2
lab_guest_start g2 160 "on_reboot='restart'"
lab_guest_ready g2
truncate -s 16M /tmp/vm/b.img
be=$(attach g2 xvda "image:/tmp/vm/b.img")
cat >/tmp/guest.sh <<'G'
wait_disk xvda || exit 1
mke2fs -q /dev/xvda && mount -t ext4 /dev/xvda /mnt || exit 2
dd if=/dev/urandom of=/mnt/a bs=64k count=16 2>/dev/null
umount /mnt; mount -t ext4 /dev/xvda /mnt
echo "SUM $(sha256sum </mnt/a)"
G
lab_guest_run g2 /tmp/guest.sh >/tmp/said || { cat /tmp/said; fail "before the reboot"; }
old=$(lab_domid g2)
console=$LAB_CONSOLES/guest-g2.log
from=$(($(stat -c %s "$console") + 1))
echo 'umount /mnt; (sleep 1; reboot -f) &' >/tmp/guest.sh
lab_guest_run g2 /tmp/guest.sh || fail "the guest does not reboot"
is_new() { local id; id=$(xl domid g2) && [ "$id" != "$old" ] && echo "$id" >/run/guest-g2.id; }
await 60 "no new domain g2" is_new
lab_guest_says g2 GUEST-READY 60 "$from" || fail "the new g2 does not get ready"
! xenstore-exists "$be" || xenstore-rm "$be"
await 30 "the disk is not closed after the reboot" flock -n /tmp/vm/b.img true
attach g2 xvda "image:/tmp/vm/b.img" >/dev/null
cat >/tmp/guest.sh <<'G'
wait_disk xvda && mount -t ext4 -o ro /dev/xvda /mnt || exit 1
echo "SUM $(sha256sum </mnt/a)"
umount /mnt
G
lab_guest_run g2 /tmp/guest.sh >/tmp/said2 || { cat /tmp/said2; fail "after the reboot"; }
[ "$(grep -o 'SUM .*' /tmp/said)" = "$(grep -o 'SUM .*' /tmp/said2)" ] || { cat /tmp/said /tmp/said2; fail "another content after the reboot"; }
detach g2 xvda
is_clean /tmp/vm/b.img
lab_guest_end g2
