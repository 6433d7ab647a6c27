# What an operator types: attach, list, detach (suite.sh has begun with doctor); a chain that climbs out of the folder that is allowed.
lab_guest_start g1
lab_guest_ready g1
dom=$(lab_domid g1)
truncate -s 16M /tmp/vm/c.img
blocktap xen attach g1 xvdb image:/tmp/vm/c.img || fail "attach: $?"
cat >/tmp/guest.sh <<'G'
wait_disk xvdb || exit 1
dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
dd if=/tmp/a of=/dev/xvdb bs=64k conv=fsync 2>/dev/null || exit 2
echo "SUM $(sha256sum </tmp/a)"
G
lab_guest_run g1 /tmp/guest.sh >/tmp/said || { cat /tmp/said; fail "the guest's script"; }
lab_nap 1.5                                             # the status file follows within a second
blocktap xen list --json >/tmp/list || fail "list: $?"
for wanted in '"backendState": "Connected"' '"frontendState": "Connected"' '"domain": "g1"' '"vdev": "xvdb"' '"chain": "image:/tmp/vm/c.img"' \
    '"sizeBytes": 16777216' '"flush": true' '"inFlight": 0' '"writtenBytes": 2097152'; do
    grep -qF "$wanted" /tmp/list || { cat /tmp/list; fail "list has no $wanted"; }
done
blocktap xen detach g1 xvdb || fail "detach: $?"
! xenstore-exists "/local/domain/0/backend/tap/$dom/51728" || fail "the backend's nodes are left"
! xenstore-exists "/local/domain/$dom/device/vbd/51728" || fail "the frontend's nodes are left"
flock -n /tmp/vm/c.img true || fail "the image is still open"
grep -qF "SUM $(dd if=/tmp/vm/c.img bs=64k count=32 2>/dev/null | sum)" /tmp/said || fail "the image does not hold what the guest has written"
rc=0; blocktap xen attach g1 xvdb image:/tmp/vm/../main.img 2>/tmp/err || rc=$?
cat /tmp/err
[ $rc = 1 ] || fail "exit code $rc"
grep -q "not allowed: allow=" /tmp/err || fail "no reason"
! xenstore-exists "/local/domain/0/backend/tap/$dom/51728" || fail "a refused device is left"
# Read-only, offered to a paused guest, and taken away from one that still holds it open.
xl pause g1
blocktap xen attach --read-only --no-wait g1 xvdc image:/tmp/vm/c.img,read-only || fail "attach --no-wait: $?"
xl unpause g1
cat >/tmp/guest.sh <<'G'
wait_disk xvdc || exit 1
[ "$(cat /sys/block/xvdc/ro)" = 1 ] || { echo "xvdc can be written"; exit 2; }
echo "SUM $(dd if=/dev/xvdc bs=64k count=32 2>/dev/null | sha256sum)"
sleep 1000 </dev/xvdc >/dev/null 2>&1 &
G
lab_guest_run g1 /tmp/guest.sh >/tmp/said2 || { cat /tmp/said2; fail "the read-only disk"; }
[ "$(grep -o 'SUM .*' /tmp/said)" = "$(grep -o 'SUM .*' /tmp/said2)" ] || { cat /tmp/said /tmp/said2; fail "another content"; }
blocktap xen detach --force --timeout 3s g1 xvdc || fail "detach --force: $?"
! xenstore-exists "/local/domain/0/backend/tap/$dom/51744" || fail "nodes are left after --force"
await 10 "the image is still open after --force" flock -n /tmp/vm/c.img true
