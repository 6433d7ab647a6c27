#!/usr/bin/env bash
# xen-peers.sh - the disk of a real Xen guest served by blocktap, by QEMU (qdisk) and by the kernel (xen-blkback), in the same lab.
#
#   benchmarks/xen-peers.sh [options]
#
# Boots the lab of it-tests/src/test/lab (a real Xen under QEMU; needs root; the first run builds it, some minutes) once. One PV guest has a disk of each backend,
# all on the same file on a tmpfs; the same programs run on one disk after the other, in rotating order. Under emulation absolute figures say nothing: look at ratios.
#
# Options
#   -r N          rounds (default 3)
#   -t SECONDS    length of each measurement (default 3)
#   -w SECONDS    warm-up of each workload on each disk (default 6)
#   -p NAMES      peers, of blocktap, qdisk, blkback (default all)
#   -l NAMES      workloads: dd-write-64k dd-read-64k (direct) dd-write-cached dd-read-cached, and [rand]read|write-Nk-qN, for example randread-4k-q32
#   -c CHAIN      blocktap's chain (default image:/tmp/disk.img; /tmp is the tmpfs)
#   -J FLAGS      flags of blocktap's JVM (default "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xmx96m": the second
#                 compiler takes a third of what blocktap gets of the lab's only processor; measure without it too, it is what users start with)
#   -m MB         size of the disk (default 48)
#   -x NAMES      then count the system calls of these backends by strace
#   -T SECONDS    limit of the whole boot (default 1200)
#   -k FILE       keep the samples there
#   --json        print lines of JSON instead of the table: one for each peer and workload
#
# A line of the table: IOPS (MB/s for dd), median of the rounds [lowest-highest]; CPU time of the backend's process or thread, us a request.
# Of blkback that is not all: the loop device has threads of its own.
# Exit: 0 measured, 1 a run failed, 2 usage.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
rounds=3 seconds=3 warmup=6 peers='blocktap qdisk blkback' chain=image:/tmp/disk.img megabytes=48 profile='' limit=1200 keep='' json=0
workloads='dd-write-64k dd-read-64k dd-write-cached dd-read-cached randread-4k-q1 randread-4k-q8 randread-4k-q32 randwrite-4k-q1 randwrite-4k-q8 randwrite-4k-q32'
flags='-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xmx96m'
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
options=()
for word in "$@"; do if [ "$word" = --json ]; then json=1; else options+=("$word"); fi; done
set -- ${options[@]+"${options[@]}"}
while getopts r:t:w:p:l:c:J:m:x:T:k:h option; do case $option in
  r) rounds=$OPTARG;; t) seconds=$OPTARG;; w) warmup=$OPTARG;; p) peers=$OPTARG;; l) workloads=$OPTARG;; c) chain=$OPTARG;; J) flags=$OPTARG;;
  m) megabytes=$OPTARG;; x) profile=$OPTARG;; T) limit=$OPTARG;; k) keep=$OPTARG;; *) usage;; esac; done
shift $((OPTIND - 1))
[ $# = 0 ] || usage
for number in "$rounds" "$seconds" "$warmup" "$megabytes" "$limit"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] || { echo "xen-peers: '$number': want a whole number of 1 or more" >&2; exit 2; }
done
for peer in $peers $profile; do case $peer in
    blocktap|qdisk|blkback) ;; *) echo "xen-peers: no peer '$peer'; there are blocktap, qdisk and blkback" >&2; exit 2;; esac
done
for workload in $workloads; do
    [[ $workload =~ ^(dd-(write|read)-(64k|cached)|(rand)?(read|write)-[0-9]+k-q[0-9]+)$ ]] || { echo "xen-peers: no workload '$workload'" >&2; exit 2; }
done
build=${BLOCKTAP_BUILD:-target}
[ -e "$root/launcher/$build/blocktap-launcher.jar" ] || { echo "xen-peers: nothing is built: mvn -DskipTests package" >&2; exit 2; }

share=$(mktemp -d "${TMPDIR:-/tmp}/xen-peers.XXXXXX")
trap 'rm -rf "$share"' EXIT
mkdir -p "$share/lib" "$share/initramfs/bin"
cp "$root/launcher/$build"/lib/*.jar "$root/launcher/$build/blocktap-launcher.jar" "$share/lib/"
# The guest has nothing but busybox. Its initramfs takes one more archive at its end.
gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$share/initramfs/bin/disk-load" "$here/src/main/c/disk-load.c"
(cd "$share/initramfs" && find bin | cpio -o -H newc --quiet) >"$share/load.cpio"
cat >"$share/settings" <<SETTINGS
rounds=$rounds seconds=$seconds warmup=$warmup megabytes=$megabytes dd_megabytes=8
peers='$peers' workloads='$workloads' profile='$profile'
chain='$chain'
java_flags=($flags)
SETTINGS
# lab.sh names a scenario from its own folder; the later --share wins.
"$root/it-tests/src/test/lab/lab.sh" ../../../../benchmarks/src/lab/xen-peers.sh --share "$share" --timeout "$limit" >&2 ||
    { echo "xen-peers: the run in the lab failed" >&2; exit 1; }
[ -s "$share/samples" ] || { echo "xen-peers: no samples" >&2; exit 1; }
[ -z "$keep" ] || cp "$share/samples" "$keep"

awk -v json="$json" -v peers="$peers" -v workloads="$workloads" '
    function median(list,    a, n, i, j, t) {
        low = high = 0
        n = split(list, a, " ")
        if (n == 0) return 0
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
        low = a[1]; high = a[n]
        return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    }
    function per(ticks, key) { return total[key] ? ticks[key] * 10000 / total[key] : 0 }
    function ratio(a, b) { return b > 0 ? a / b : 0 }
    $3 > 0 {
        key = $1 " " $2
        rate[key] = rate[key] " " ($5 > 0 ? $5 / $6 / 1e6 : $4 / $6)
        p50[key] = p50[key] " " $7; p99[key] = p99[key] " " $8
        total[key] += $4; own[key] += $9
    }
    END {
        np = split(peers, peer, " "); nw = split(workloads, workload, " ")
        if (!json) {
            head = "| workload |"; line = "|---|"
            for (i = 1; i <= np; i++) { head = head " " peer[i] " | us CPU |"; line = line "---|---|" }
            for (i = 2; i <= np; i++) { head = head " " peer[1] "/" peer[i] " |"; line = line "---|" }
            print head; print line
        }
        for (w = 1; w <= nw; w++) {
            row = "| " workload[w] " |"; ratios = ""
            first = median(rate[peer[1] " " workload[w]])
            for (i = 1; i <= np; i++) {
                key = peer[i] " " workload[w]
                m = median(rate[key]); l = low; h = high
                if (json) {
                    printf "{\"workload\":\"%s\",\"peer\":\"%s\",\"%s\":%.2f,\"lowest\":%.2f,\"highest\":%.2f,\"p50_us\":%d,\"p99_us\":%d,", workload[w], peer[i],
                        workload[w] ~ /^dd/ ? "mb_per_second" : "iops", m, l, h, median(p50[key]), median(p99[key])
                    printf "\"backend_cpu_us\":%.1f,\"%s_is_times_this\":%.3f}\n", per(own, key), peer[1], ratio(first, m)
                }
                format = workload[w] ~ /^dd/ ? " %.1f [%.1f-%.1f] | %.0f |" : " %.0f [%.0f-%.0f] | %.0f |"
                row = row sprintf(format, m, l, h, per(own, key))
                if (i > 1) ratios = ratios sprintf(" %.2f |", ratio(first, m))
            }
            if (!json) print row ratios
        }
    }' "$share/samples"
