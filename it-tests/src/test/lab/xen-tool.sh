#!/bin/bash
# In the lab's dom0: the toolstack's commands against a real PV guest: doctor, serve, attach, list, detach, a chain that is refused and one that is allowed; then
# libxl's part (Xen 4.19 and later) for kind=vbd3, played by this script. Needs in /share what run.sh puts there.
set -eu
java_flags=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xmx96m)
blocktap() { java "${java_flags[@]}" -cp "/share/lib/*" io.blocktap.launcher.Main "$@"; }
serve() { exec java "${java_flags[@]}" -cp "/share/lib/*" io.blocktap.launcher.Main serve "$@"; }
fail() { echo "FAILED: $*"; cat /tmp/log* 2>/dev/null; exit 1; }
await_ready() { # FILE PID
    local left=480
    until [ -s "$1" ]; do
        kill -0 "$2" || fail "the server has ended"
        left=$((left - 1)); [ $left -gt 0 ] || fail "the server is not ready"
        lab_nap 0.25
    done
}

mkdir -p /tmp/vm
truncate -s 16M /tmp/disk.img /tmp/vm/a.img
lab_guest_start g1
blocktap doctor xen || fail "doctor"
serve --tap 'xen:allow=image:/tmp/vm/*,nbd=/tmp/n.sock' --threads 1 image:/tmp/disk.img >/tmp/ready 2>/tmp/log &
server=$!
lab_guest_ready g1
await_ready /tmp/ready $server

echo "== attach, write, read, list, detach"
time blocktap xen attach g1 xvda || fail "attach"
cat >/tmp/guest.sh <<'G'
wait_disk xvda || exit 1
dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
dd if=/tmp/a of=/dev/xvda bs=64k conv=fsync 2>/dev/null || exit 2
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/xvda of=/tmp/b bs=64k count=32 2>/dev/null || exit 3
a=$(sha256sum </tmp/a) b=$(sha256sum </tmp/b)
[ "$a" = "$b" ] || { echo "MISMATCH $a $b"; exit 4; }
echo "verified: $a"
G
lab_guest_run g1 /tmp/guest.sh >/tmp/said || fail "guest: $(cat /tmp/said)"
cat /tmp/said
blocktap xen list --json >/tmp/list || fail "list"
cat /tmp/list
for wanted in '"backendState": "Connected"' '"frontendState": "Connected"' '"domain": "g1"' '"vdev": "xvda"' '"flush": true' '"inFlight": 0' '"writtenBytes": 2097152'; do
    grep -qF "$wanted" /tmp/list || fail "list has no $wanted"
done
blocktap xen detach g1 xvda || fail "detach"
be=/local/domain/0/backend/tap/$(lab_domid g1)
! xenstore-exists "$be" || fail "the backend's nodes are left"
! xenstore-exists "/local/domain/$(lab_domid g1)/device/vbd/51712" || fail "the frontend's nodes are left"
sum=$(dd if=/tmp/disk.img bs=64k count=32 2>/dev/null | sha256sum)
grep -qF "${sum%% *}" /tmp/said || fail "the image does not hold what the guest has written"

echo "== a chain that is refused, one that climbs, one that is allowed"
if blocktap xen attach g1 xvda image:/tmp/disk.img 2>/tmp/err; then fail "not refused"; fi
cat /tmp/err; grep -q "not allowed: allow=image:/tmp/vm/" /tmp/err || fail "no reason"
if blocktap xen attach g1 xvda image:/tmp/vm/../disk.img 2>/tmp/err; then fail "not refused"; fi
! xenstore-exists "$be" || fail "a refused device is left"
blocktap xen attach g1 xvda image:/tmp/vm/a.img || fail "allowed chain"
lab_guest_run g1 /tmp/guest.sh >/tmp/said || fail "guest: $(cat /tmp/said)"
blocktap xen detach g1 xvda || fail "detach"
sum=$(dd if=/tmp/vm/a.img bs=64k count=32 2>/dev/null | sha256sum)
grep -qF "${sum%% *}" /tmp/said || fail "the image of the chain does not hold what the guest has written"
grep -q "its disk is flushed and closed" /tmp/log || fail "the chain's disk was not closed"
kill -TERM $server; wait $server || fail "server: exit $?"
[ ! -e /run/blocktap/xen-tap.json ] || fail "the status file is left"

echo "== kind=vbd3, with libxl's part played here"
serve --tap xen:kind=vbd3,nbd=/tmp/n.sock --tap nbd:unix=/tmp/n.sock --threads 1 image:/tmp/disk.img >/tmp/ready3 2>/tmp/log3 &
server=$!
blocktap xen hotplug-script --install /etc/xen/scripts || fail "hotplug-script"
await_ready /tmp/ready3 $server
dom=$(lab_domid g1) be=/local/domain/0/backend/vbd3/$dom/51712 fe=/local/domain/$dom/device/vbd/51712
xenstore-write "$be" "" && xenstore-chmod "$be" n0 "r$dom"
xenstore-write "$fe" "" && xenstore-chmod "$fe" "n$dom" r0
xenstore-write "$be/frontend" "$fe" "$be/frontend-id" "$dom" "$be/online" 1 "$be/removable" 0 "$be/mode" w "$be/device-type" disk \
    "$be/script" /etc/xen/scripts/block-blocktap "$be/params" aio: "$be/state" 1 \
    "$fe/backend" "$be" "$fe/backend-id" 0 "$fe/virtual-device" 51712 "$fe/device-type" disk "$fe/state" 1
left=40
until [ "$(xenstore-read "$be/state")" = 2 ]; do # libxl waits 10 s for InitWait, before the script
    left=$((left - 1)); [ $left -gt 0 ] || fail "no InitWait before the script"
    lab_nap 0.25
done
[ "$(xenstore-read "$be/physical-device-path")" = /tmp/n.sock ] || fail "no physical-device-path"
XENBUS_TYPE=vbd3 XENBUS_PATH=backend/vbd3/$dom/51712 XENBUS_BASE_PATH=backend sh /etc/xen/scripts/block-blocktap add || fail "script add"
lab_guest_run g1 /tmp/guest.sh || fail "guest with vbd3"
[ "$(xenstore-read "$be/state")" = 4 ] || fail "not connected"
xenstore-write "$be/online" 0 "$be/state" 5
left=80
until [ "$(xenstore-read "$be/state")" = 6 ]; do left=$((left - 1)); [ $left -gt 0 ] || fail "not closed"; lab_nap 0.25; done
XENBUS_PATH=backend/vbd3/$dom/51712 sh /etc/xen/scripts/block-blocktap remove || fail "script remove"
xenstore-rm "$fe"; xenstore-rm "$be"
kill -TERM $server; wait $server || fail "server: exit $?"
cat /tmp/log /tmp/log3
lab_guest_end g1
echo "xen-tool: all passed"
