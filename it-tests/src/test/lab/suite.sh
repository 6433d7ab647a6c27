#!/bin/bash
# In the lab's dom0: scenarios, one after the other, on one server for all; tells how each one ended. Needs in /share what run.sh puts there.
# Arguments: names of files in scenarios/ without their number and .sh (all of them, in the order of their numbers, if none is given)
#
# What a caller reads: "LAB-BEGIN name", what the scenario says, "LAB-END name exit-code seconds". A scenario that can't go on says why with "FAILED: ".
set -u
scenarios=/share/lab/scenarios
modprobe -a xen-evtchn xen-gntdev xen-gntalloc xen-blkfront
cp -rp /share/lib /share/test-classes /tmp/           # every start reads them: not over 9p
mkdir -p /tmp/vm /tmp/mnt
truncate -s 400M /tmp/vm.ext4                           # images are on ext4, where a write may wait: on tmpfs none is ever on its way when the server is killed
mke2fs -q -t ext4 -O ^has_journal -m 0 /tmp/vm.ext4 && mount -o loop,discard /tmp/vm.ext4 /tmp/vm
echo 0 >/run/guest-dom0.id                              # lab_vbd_add dom0 ...: a disk of domain 0 itself

class_path=$(cd /tmp && ls -1 lib/*.jar | tr '\n' ':')
# Flags that suit a JVM under emulation: no second compiler, one-threaded collector, classes from the archive that the first command leaves.
java_flags="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xlog:cds=off -Xlog:cds+dynamic=off -Dio.netty.machineId=00:16:3e:00:00:01"
archive=/tmp/classes.jsa

fail() { echo "FAILED: $*" >&2; exit 1; }                # not to who reads a function's output
seconds() { local up rest; read -r up rest </proc/uptime; echo "${up%.*}"; }

blocktap() { # the command, as an operator calls it; interpreted only, which is quicker for what runs once
    local flags=($java_flags -Xint)
    if [ -s $archive ]; then flags+=(-XX:SharedArchiveFile=$archive); else flags+=(-XX:ArchiveClassesAtExit=$archive); fi
    (cd /tmp && exec java "${flags[@]}" -Xmx64m -cp "$class_path" io.blocktap.launcher.Main "$@")
}
lab_program() { # CLASS ARGUMENT...: one of it-tests' own programs
    (cd /tmp && exec java -ea $java_flags -Xmx160m -cp "test-classes:$class_path" "io.blocktap.it.lab.$@")
}

# ---- the server: its log in /tmp/log, all starts together; its pid and, when it has ended, exit code in files, since scenarios are subshells

server_start() { # until it is ready
    local flags=($java_flags)
    [ ! -s $archive ] || flags+=(-XX:SharedArchiveFile=$archive)
    rm -f /tmp/server.exit; : >/tmp/ready
    (
        cd /tmp || exit
        java "${flags[@]}" -Xmx96m -cp "$class_path" io.blocktap.launcher.Main serve --config /tmp/disks.yaml >/tmp/ready 2>>/tmp/log </dev/null &
        echo $! >/tmp/server.pid
        code=0; wait $! || code=$?
        echo $code >/tmp/server.exit
    ) &
    local left=480
    until [ -s /tmp/ready ]; do
        [ ! -e /tmp/server.exit ] || { tail -5 /tmp/log; fail "the server does not start: exit code $(cat /tmp/server.exit)"; }
        left=$((left - 1)); [ $left -gt 0 ] || fail "the server is not ready after 2 minutes"
        lab_nap 0.25
    done
}
server_pid() { cat /tmp/server.pid; }
server_end() { # SIGNAL: and waits; prints its exit code
    local left=240
    kill "-$1" "$(server_pid)"
    until [ -e /tmp/server.exit ]; do
        left=$((left - 1)); [ $left -gt 0 ] || fail "the server does not end after SIG$1"
        lab_nap 0.25
    done
    cat /tmp/server.exit
}
logged() { # TEXT: how many lines of the server's log have it
    grep -cF -- "$1" /tmp/log || true
}
await() { # SECONDS WHAT COMMAND...: until the command succeeds
    local left=$(($1 * 4)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1)); [ $left -gt 0 ] || fail "$what"
        lab_nap 0.25
    done
}

# ---- disks

attach() { # GUEST VDEV PARAMS [MODE]: the toolstack's part, by shell: a JVM takes as long as ten scenarios; prints the backend's path
    lab_vbd_add "$1" "$(vdev "$2")" "$3" tap "${4:-w}"
}
detach() { # GUEST VDEV
    lab_vbd_remove "/local/domain/0/backend/tap/$(lab_domid "$1")/$(vdev "$2")" 40
}
vdev() { # xvdX: its number
    local letters=abcdefghijklmnop before
    before=${letters%%"${1#xvd}"*}
    echo $((51712 + 16 * ${#before}))
}
attach_here() { # VDEV PARAMS [MODE]: a disk for domain 0's own blkfront
    attach dom0 "$@" >/dev/null
    await 30 "no /dev/$1: backend state $(xenstore-read "/local/domain/0/backend/tap/0/$(vdev "$1")/state"), $(tail -1 /tmp/log)" [ -b "/dev/$1" ]
}
sum() { sha256sum | cut -d' ' -f1; }
is_clean() { # IMAGE: a file system that e2fsck has nothing to say about
    e2fsck -fn "$1" >/tmp/fsck 2>&1 || { cat /tmp/fsck; fail "e2fsck of $1"; }
}
listed() { # the server's own figures, refreshed once a second
    cat /run/blocktap/xen-tap.json
}

export -f fail seconds blocktap lab_program server_start server_pid server_end logged await attach detach vdev attach_here sum is_clean listed
export class_path java_flags archive

mkdir -p /tmp/tree/files && cp -r /usr/lib/xen-4.17/bin /tmp/tree/files/ # something to fill file systems with
truncate -s 64M /tmp/main.img
cat >/tmp/disks.yaml <<'Y'
server:
  threads: 2
taps:
  - "xen:allow=dump:/tmp/vm/* image:/tmp/vm/*\\,io=*\\,read-only=*"
  - xen:kind=bench
  - xen:kind=vbd3,nbd=/tmp/n.sock
  - nbd:unix=/tmp/n.sock
disks:
  "":
    chain: memory:48M
  main:
    chain: image:/tmp/main.img
Y

run() { # NAME
    local start rc=0 file
    file=$(compgen -G "$scenarios/[0-9]*-$1.sh") || { echo "FAILED: there is no scenario $1"; return 2; }
    start=$(seconds)
    echo "LAB-BEGIN $1"
    rm -f /tmp/vm/*.img
    bash -eu "$file" </dev/null || rc=$? # a shell of its own: in a part of "||" there would be no "set -e"
    if [ $rc != 0 ]; then
        echo "--- the end of the server's log"; tail -30 /tmp/log
        [ ! -e /tmp/server.exit ] || server_start           # the next one needs it
        umount /tmp/mnt 2>/dev/null                     # the next one shall start from nothing
        for device in $(compgen -G '/sys/bus/xen-backend/devices/tap-*'); do
            IFS=- read -r _ domain number <<<"${device##*/}"
            lab_vbd_remove "/local/domain/0/backend/tap/$domain/$number" 5
        done
    fi
    echo "LAB-END $1 $rc $(($(seconds) - start))"
    return $rc
}
[ $# -gt 0 ] || set -- $(cd $scenarios && ls -1 [0-9]*.sh | sed -E 's/^[0-9]+-//; s/\.sh$//')
: >/tmp/log
failed=0
blocktap doctor xen || failed=1
server_start && for name in "$@"; do run "$name" || failed=1; done
if [ -e /tmp/server.exit ]; then code=$(cat /tmp/server.exit); else code=$(server_end TERM); fi
[ "$code" = 0 ] || { echo "FAILED: the server ended with exit code $code"; failed=1; }
echo "LAB-LOG"; cat /tmp/log
if dmesg | grep -E 'BUG:|Oops|soft lockup|multicall\(s\) failed|list_(add|del) corruption'; then
    echo "FAILED: domain 0's kernel has met an error of its own, above"; failed=1
fi
exit $failed
