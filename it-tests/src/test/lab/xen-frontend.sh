#!/bin/bash
# In the lab's dom0: frontends in user space, honest and hostile, against blocktap on the real devices of Xen; storms, system calls, leaks; then "bench --tap xen".
# Needs in /share what run.sh puts there. Argument: SEED (1)
set -eu
modprobe -a xen-evtchn xen-gntdev xen-gntalloc
cp -r /share/lib /share/test-classes /tmp/
java_flags=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xmx64m)
blocktap() { exec java "${java_flags[@]}" -cp "/tmp/lib/*" io.blocktap.launcher.Main "$@"; }

blocktap serve --tap xen:kind=bench --threads 2 memory:48M >/tmp/ready 2>/tmp/log &
server=$!
for _ in $(seq 400); do [ -s /tmp/ready ] && break; kill -0 "$server" || { cat /tmp/log; exit 1; }; lab_nap 0.25; done
cat /tmp/ready
rc=0
java -ea "${java_flags[@]}" -cp "/tmp/test-classes:/tmp/lib/*" io.blocktap.it.lab.XenFrontendLab \
    "$server" /tmp/log /local/domain/0/backend/bench "${1:-1}" || rc=1
kill -TERM "$server"; wait "$server" || { echo "server: exit $?"; rc=9; }
echo "--- the server's log: $(wc -l </tmp/log) lines"; tail -40 /tmp/log
for nodes in /local/domain/0/backend/bench/0 /local/domain/0/blocktap/frontend; do
    [ -z "$(xenstore-ls "$nodes" 2>/dev/null)" ] || { echo "left in xenstore:"; xenstore-ls -f "$nodes"; rc=8; }
done
[ $rc = 0 ] || exit $rc
(blocktap bench --tap xen --qd 32 --warm-up 3s --time 3s memory:16M) || rc=7
exit $rc
