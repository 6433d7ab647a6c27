# kind=vbd3, as libxl of Xen 4.19 and later does it, played by this script: InitWait before the hotplug script, which then finds the device offered.
lab_guest_start g1
lab_guest_ready g1
blocktap xen hotplug-script --install /etc/xen/scripts || fail "hotplug-script: $?"
dom=$(lab_domid g1) be=/local/domain/0/backend/vbd3/$(lab_domid g1)/51728 fe=/local/domain/$(lab_domid g1)/device/vbd/51728
xenstore-write "$be" "" && xenstore-chmod "$be" n0 "r$dom"
xenstore-write "$fe" "" && xenstore-chmod "$fe" "n$dom" r0
xenstore-write "$be/frontend" "$fe" "$be/frontend-id" "$dom" "$be/online" 1 "$be/removable" 0 "$be/mode" w "$be/device-type" disk \
    "$be/script" /etc/xen/scripts/block-blocktap "$be/params" aio: "$be/state" 1 \
    "$fe/backend" "$be" "$fe/backend-id" 0 "$fe/virtual-device" 51728 "$fe/device-type" disk "$fe/state" 1
is_state() { [ "$(xenstore-read "$be/state")" = "$1" ]; }
await 10 "no InitWait before the script" is_state 2
[ "$(xenstore-read "$be/physical-device-path")" = /tmp/n.sock ] || fail "no physical-device-path"
XENBUS_TYPE=vbd3 XENBUS_PATH=${be#/local/domain/0/} XENBUS_BASE_PATH=backend sh /etc/xen/scripts/block-blocktap add || fail "script add: $?"
cat >/tmp/guest.sh <<'G'
wait_disk xvdb || exit 1
dd if=/dev/urandom of=/tmp/a bs=64k count=16 2>/dev/null
dd if=/tmp/a of=/dev/xvdb bs=64k conv=fsync 2>/dev/null || exit 2
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/xvdb of=/tmp/b bs=64k count=16 2>/dev/null || exit 3
cmp /tmp/a /tmp/b || exit 4
G
lab_guest_run g1 /tmp/guest.sh || fail "the guest's script"
is_state 4 || fail "not connected"
xenstore-write "$be/online" 0 "$be/state" 5
await 20 "not closed" is_state 6
XENBUS_TYPE=vbd3 XENBUS_PATH=${be#/local/domain/0/} sh /etc/xen/scripts/block-blocktap remove || fail "script remove: $?"
xenstore-rm "$fe"; xenstore-rm "$be"
