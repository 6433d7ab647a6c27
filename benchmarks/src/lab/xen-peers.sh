#!/bin/bash
# In the lab's dom0, run by benchmarks/xen-peers.sh: one PV guest with a disk of each of three backends, all of them on the same file, measured in turn.
# /share holds: lib (jars), load.cpio (disk-load for the guest), settings (sourced: rounds, seconds, warmup, peers, workloads, java_flags, chain, megabytes, profile).
# Writes /share/samples: peer, workload, round, requests, bytes, seconds, p50 us, p99 us, CPU ticks of the backend, of dom0.
set -eu
# shellcheck source=/dev/null
. /share/settings
cp -r /share/lib /tmp/
cat /share/load.cpio >>/boot/domu.cpio
truncate -s "${megabytes}M" /tmp/disk.img
modprobe xen-blkback
loop=$(losetup -f --show /tmp/disk.img)

echo "--- a guest with a disk of qdisk"
lab_guest_start g2 160 "disk=['format=raw,vdev=xvda,access=rw,backendtype=qdisk,target=/tmp/disk.img']"
lab_guest_ready g2
dom=$(lab_domid g2)
echo "--- blkback on $loop"
xl block-attach g2 "format=raw,vdev=xvdb,access=rw,backendtype=phy,target=$loop"
echo "--- blocktap: java ${java_flags[*]}"
# shellcheck disable=SC2086  # a chain is a list of words
(exec java "${java_flags[@]}" -cp "/tmp/lib/*" io.blocktap.launcher.Main serve --tap xen --threads 1 $chain) >/tmp/ready 2>/tmp/log &
server=$!
for _ in $(seq 400); do [ -s /tmp/ready ] && break; kill -0 "$server" || { cat /tmp/log; exit 1; }; lab_nap 0.25; done
[ -s /tmp/ready ] || { echo "blocktap does not get ready"; cat /tmp/log; exit 1; }
lab_vbd_add g2 51744 "" >/dev/null

declare -A disk=([qdisk]=xvda [blkback]=xvdb [blocktap]=xvdc) pid=([blocktap]=$server)
pid[qdisk]=$(xenstore-read "/local/domain/$dom/image/device-model-pid")

tty=$(xenstore-read "/local/domain/$dom/console/tty")

# guest TEXT [SECONDS [PEER]]: runs it in the guest, and looks for its end only after SECONDS: dom0's shell must not take the processor from what is measured.
# Leaves in /run/before and /run/after what "ticks" says of the PEER.
guest() {
    local log=$LAB_CONSOLES/guest-g2.log from text
    from=$(($(stat -c %s "$log") + 1))
    text=$(printf '%s\n' "$1" | base64; echo LABEND)
    ticks "${3:-}" >/run/before
    printf '%s\n' "$text" >"$tty"
    lab_nap "${2:-0}"
    lab_guest_says g2 GUEST-EXIT: 120 "$from" || { echo "the guest does not end"; return 1; }
    ticks "${3:-}" >/run/after
    tail -c +"$from" "$log" | tr -d '\r' | sed '/^GUEST-EXIT:/d; s/^/[g2] /'
    [ "$(tail -c +"$from" "$log" | tr -d '\r' | sed -n 's/^GUEST-EXIT:\([0-9]*\).*/\1/p')" = 0 ]
}
ticks() { # PEER or nothing: CPU ticks (100 a second) of the backend and of dom0
    local stat user nice system idle iowait irq softirq own=0
    if [ "${pid[${1:-none}]:-}" ]; then
        read -r stat <"/proc/${pid[$1]}/stat"
        # shellcheck disable=SC2086
        set -- ${stat##*) }
        own=$((${12} + ${13}))
    fi
    # shellcheck disable=SC2034
    read -r _ user nice system idle iowait irq softirq _ </proc/stat
    echo "$own $((user + nice + system + irq + softirq))"
}
threads() { # which threads of blocktap have used most
    local task name stat
    for task in /proc/"$server"/task/*; do
        read -r name <"$task/comm" && read -r stat <"$task/stat" || continue
        # shellcheck disable=SC2086
        set -- ${stat##*) }
        echo "$((${12} + ${13})) $name"
    done | sort -rn | head -6 | tr '\n' ';'
    echo
}
guest 'for d in xvda xvdb xvdc; do wait_disk $d || exit 1
    cd /sys/block/$d/queue
    echo "$d: $(cat ../size) sectors, max_sectors_kb $(cat max_sectors_kb), segments $(cat max_segments), depth $(cat nr_requests), $(cat scheduler), $(cat write_cache)"
done; dmesg | grep "blkfront: xvd"'
for comm in /proc/[0-9]*/comm; do # blkback's thread has the name of the disk
    read -r name <"$comm" || continue
    case $name in *xvdb*) pid[blkback]=${comm//[!0-9]/}; echo "thread of blkback: $name" ;; esac
done

echo "--- the same bytes through all three"
guest 'n=0; for w in xvda xvdb xvdc; do
    dd if=/dev/urandom of=/tmp/a bs=64k count=16 2>/dev/null
    dd if=/tmp/a of=/dev/$w bs=64k oflag=direct 2>/dev/null || exit 1
    for r in xvda xvdb xvdc; do
        dd if=/dev/$r of=/tmp/b bs=64k count=16 iflag=direct 2>/dev/null && cmp /tmp/a /tmp/b || { echo "MISMATCH: $w wrote, $r read"; exit 2; }
        n=$((n + 1))
    done
done; echo "$n pairs verified"'

# run PEER WORKLOAD SECONDS: one line "requests N seconds S ..." or "copied BYTES START END"; the same program for each peer
run() {
    local d=/dev/${disk[$1]} count=$(($3 * dd_megabytes))
    case $2 in
        dd-write-64k) copy "dd if=/dev/zero of=$d bs=64k count=$((count * 16)) oflag=direct" $count "$1" ;;
        dd-read-64k) copy "dd if=$d of=/dev/null bs=64k count=$((count * 16)) iflag=direct" $count "$1" ;;
        dd-write-cached) copy "dd if=/dev/zero of=$d bs=1M count=$count conv=fsync" $count "$1" ;;
        dd-read-cached) copy "dd if=$d of=/dev/null bs=1M count=$count" $count "$1" ;;
        *-q*)
            IFS=- read -r mode bytes qd <<<"$2"
            guest "disk-load $d $mode $((${bytes%k} * 1024)) ${qd#q} $3" "$3.2" "$1"
            ;;
    esac
}
copy() { # COMMAND MEGABYTES PEER: busybox dd may not tell the time; the kernel's clock has hundredths
    guest "echo 3 >/proc/sys/vm/drop_caches; read -r start _ </proc/uptime
$1 2>/tmp/err || { cat /tmp/err; exit 1; }
read -r end _ </proc/uptime; echo copied $(($2 << 20)) \$start \$end" 0.5 "$3"
}
sample() { # PEER WORKLOAD ROUND
    local peer=$1 workload=$2 round=$3 said bytes=0 requests hundredths=0 seconds p50=0 p99=0
    said=$(run "$peer" "$workload" "$seconds_each") || { echo "$peer, $workload: $said"; return 1; }
    # shellcheck disable=SC2086  # lists of words
    case $said in
        *' requests '*) set -- ${said#* requests }; requests=$1 seconds=$3 p50=$7 p99=$9 ;;
        *' copied '*)
            set -- ${said#* copied }
            bytes=$1 requests=$(($1 / 65536)) hundredths=$((10#${3/./} - 10#${2/./}))
            seconds=$((hundredths / 100)).$(printf %02d $((hundredths % 100)))
            ;;
        *) echo "$peer, $workload: no result: $said"; return 1 ;;
    esac
    # shellcheck disable=SC2086
    set -- $(</run/before) $(</run/after)
    echo "$peer $workload $round $requests $bytes $seconds $p50 $p99 $(($3 - $1)) $(($4 - $2))" | tee -a /share/samples
}

echo "--- warm-up: $warmup s of each workload on each disk"
seconds_each=$warmup
for workload in $workloads; do for peer in $peers; do sample "$peer" "$workload" 0; done; done
threads
echo "--- $rounds rounds"
seconds_each=$seconds
order=$peers
for round in $(seq "$rounds"); do
    for workload in $workloads; do for peer in $order; do sample "$peer" "$workload" "$round"; done; done
    [[ $order != *' '* ]] || order="${order#* } ${order%% *}"
done
threads

case " $peers " in *' blocktap '*)
    java "${java_flags[@]}" -cp "/tmp/lib/*" io.blocktap.launcher.Main xen list --json ;;
esac
if [ "$profile" ] && command -v strace >/dev/null; then
    for peer in $profile; do
        echo "--- system calls of $peer in 10 s of randread-4k-q1, then randread-4k-q32"
        for workload in randread-4k-q1 randread-4k-q32 randwrite-4k-q32; do
            strace -q -f -c -o "/tmp/strace.$peer" -p "${pid[$peer]}" & tracer=$!
            lab_nap 2
            run "$peer" $workload 5
            kill -INT $tracer; wait $tracer || true
            head -12 "/tmp/strace.$peer"
        done
    done
fi
kill -TERM "$server"; wait "$server" || { echo "blocktap: exit $?"; cat /tmp/log; exit 1; }
cat /tmp/log
lab_guest_end g2
