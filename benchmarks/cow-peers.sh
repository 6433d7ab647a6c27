#!/usr/bin/env bash
# Measures overlays: blocktap's cow on a raw image beside nbdkit's cow filter on its file plugin and qemu-nbd of a qcow2 overlay, all on a base of the same bytes
# in the page cache, over unix sockets, with the same client, in alternating runs. Prints one table: IOPS (MiB/s for 1m), ratios to each, and the lesser of them.
#
#   benchmarks/cow-peers.sh [-r ROUNDS] [-t SECONDS] [-s SIZE] [-w REGEX] [-p 'PEER...'] [-c OPTIONS] [-o FILE] [-m]
#
#   -p  of nbdkit-file+cow, qemu-nbd-qcow2 (aio=threads), qemu-nbd-qcow2-uring (aio=io_uring, better at reads); default: all
#   -c  options of blocktap's cow, for example io=loop
#   -o  also keeps the tables of bench-nbd.sh, with CPU and ranges, in FILE
#   -m  only counts: the bytes of metadata that blocktap and qemu-nbd write for each cluster that they allocate, by strace
#
# The disk: its first quarter was written (rewrites), of the second each other cluster of 64 KiB (partly written), the rest never (the base through the
# overlay). First writes go to an overlay that is empty at the start of each run; ours is one of many disks of the same server, since a Java that has just
# started is slow, theirs a server started for the run. Clusters have 64 KiB on all sides (cow-block-size=64K, cow-on-read=off: nbdkit's defaults);
# qemu-nbd has --cache=writeback. nbdkit's overlay is a temporary file that is gone at the end: its filter has nothing to keep after a flush.
# Needs what bench-nbd.sh needs, and strace for -m.
set -u -o pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
rounds=5 seconds=2 size=2G workloads=. peers='nbdkit-file+cow qemu-nbd-qcow2 qemu-nbd-qcow2-uring' keep=/dev/null only_metadata=0 options=
while getopts r:t:s:w:p:c:o:mh option; do case $option in
  r) rounds=$OPTARG;; t) seconds=$OPTARG;; s) size=$OPTARG;; w) workloads=$OPTARG;; p) peers=$OPTARG;; c) options=,$OPTARG;; o) keep=$OPTARG;; m) only_metadata=1;;
  *) sed -n '2,/^set -u/p' "$0" | sed '$d;s/^# \{0,1\}//'; exit 2;; esac; done

work=$(mktemp -d "${TMPDIR:-/tmp}/cow-peers.XXXXXX") || exit 1
server=
trap '[ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; }; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
bytes=$(numfmt --from=iec "$size")
quarter=$((bytes / 4))

# start DISKS: serves the disks d0, d1 ... each with a new overlay on the base
start() {
  local i
  { echo "taps: [\"nbd:unix=$work/s.sock\"]"; echo 'disks:'
    for ((i = 0; i < $1; i++)); do echo "  d$i: {chain: [\"cow:$work/d$i.qcow2$options\", \"image:$work/base.img,read-only\"]}"; done; } >"$work/disks.yaml"
  : >"$work/ready"; rm -f "$work"/d*.qcow2
  "$here/../blocktap" serve --config "$work/disks.yaml" >"$work/ready" 2>"$work/log" &
  server=$!
  for _ in $(seq 300); do [ -s "$work/ready" ] && break; kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
  [ -s "$work/ready" ] || { cat "$work/log" >&2; exit 1; }
}
uri() { echo "nbd+unix:///$1?socket=$work/s.sock"; }
load() { fio --name=w --ioengine=nbd --uri="$1" --norandommap "${@:2}" >/dev/null; }

# ---- metadata, counted

# count NAME URI OVERLAY PID [FIO OPTION...]: first writes of 4 KiB under strace, which sees the bytes that reach the overlay
count() {
  local name=$1 at=$2 overlay=$3 pid=$4 writes=2048 log=$work/strace tracer all allocated
  strace -f -qq -e trace=write,pwrite64,pwritev,pwritev2,writev -e signal=none -P "$overlay" -o "$log" -p "$pid" & tracer=$!
  for _ in $(seq 100); do grep -q '^TracerPid:.*[1-9]' "/proc/$pid/status" && break; sleep 0.1; done
  fio --name=w --ioengine=nbd --uri="$at" --rw=randwrite --bs=4k --iodepth=16 --size="$bytes" --io_size=$((writes * 4096)) --randseed=1 --end_fsync=1 "${@:5}" >/dev/null || exit 1
  kill -INT "$tracer"; wait "$tracer"
  all=$(sed -n 's/.*= \([0-9]*\)$/\1/p' "$log" | awk '{ s += $1 } END { print s }')
  allocated=$(qemu-img check -U --output=json "$overlay" | jq '."allocated-clusters"')
  # A cluster's first write is one of 64 KiB, later ones are 4 KiB; what is left is metadata.
  awk -v n="$name" -v all="$all" -v a="$allocated" -v w=$writes 'BEGIN { m = all - a * 65536 - (w - a) * 4096; printf "| %s | %d | %d | %.0f |\n", n, a, m, m / a }'
}

metadata() {
  local flush how
  printf '| first writes of 4 KiB, QD 16 | clusters allocated | bytes of metadata | for each |\n|---|---|---|---|\n'
  for flush in 0 64; do
    how="one flush at the end"; [ $flush = 0 ] || how="a flush each $flush writes"
    start 1
    count "blocktap, $how" "$(uri d0)" "$work/d0.qcow2" "$server" --fsync=$flush
    kill "$server"; wait "$server"; server=
    rm -f "$work/q.qcow2"; qemu-img create -q -f qcow2 -b "$work/base.img" -F raw "$work/q.qcow2"
    qemu-nbd -f qcow2 -t -e 16 --cache=writeback --discard=unmap -k "$work/q.sock" "$work/q.qcow2" & server=$!
    until nbdinfo --size "nbd+unix:///?socket=$work/q.sock" >/dev/null 2>&1; do sleep 0.1; done
    count "qemu-nbd, $how" "nbd+unix:///?socket=$work/q.sock" "$work/q.qcow2" "$server" --fsync=$flush
    kill "$server"; wait "$server"; server=
  done
}

head -c "$bytes" /dev/urandom >"$work/base.img"; sync "$work/base.img"; cat "$work/base.img" >/dev/null
[ $only_metadata = 0 ] || { metadata; exit; }

# ---- speed

list=
for q in 1 16 64; do
  list+=" randread-4k-q$q@$quarter+$quarter randread-4k-q$q@$((2 * quarter))+$((2 * quarter)) fresh:randwrite-4k-q$q randwrite-4k-q$q@0+$quarter"
done
list+=" seqread-1m-q4@$quarter+$quarter seqread-1m-q4@$((2 * quarter))+$((2 * quarter)) fresh:seqwrite-1m-q4@0+$quarter seqwrite-1m-q4@0+$quarter"
names=$work/names
for w in $list; do
  case $w in
    fresh:*) n="first write";; *write*) n="rewrite";; *@$quarter+*) n="read, partly written";; *) n="read of the base";; esac
  case $w in *-1m-*) n="1 MiB sequential $n";; *) n="4 KiB $n";; esac
  q=${w#*-q}; printf '%s\t%s, QD %s\n' "$w" "$n" "${q%%@*}"
done | grep -E -- "$workloads" >"$names"
[ -s "$names" ] || { echo "cow-peers: no workload matches $workloads" >&2; exit 2; }

# What each side has written before the first sample.
cat >"$work/prepare" <<END
#!/bin/sh
fio --name=w --ioengine=nbd --uri="\$1" --rw=write --bs=1m --iodepth=4 --size=$quarter >/dev/null &&
fio --name=w --ioengine=nbd --uri="\$1" --rw=write --bs=64k --iodepth=4 --offset=$quarter --size=$quarter --zonemode=strided --zonesize=64k --zonerange=128k --io_size=$((quarter / 2)) >/dev/null
END
# The next disk that nobody has written.
cat >"$work/fresh" <<END
#!/bin/sh
n=\$((\$(cat "$work/used") + 1)); echo \$n >"$work/used"
echo "nbd+unix:///d\$n?socket=$work/s.sock"
END
chmod +x "$work/prepare" "$work/fresh"
echo 2 >"$work/used"

count_peers=$(wc -w <<<"$peers")
start $((3 + count_peers * rounds * $(grep -c fresh: "$names")))
# A JVM compiles what it has seen often: let it see every kind of request before the first sample. On disks of its own, first writes on both.
for d in d1 d2; do for q in 1 16 64; do
  for rw in randwrite randread; do load "$(uri $d)" --rw=$rw --bs=4k --iodepth=$q --size="$size" --time_based --runtime=2 || exit 1; done
done; done
for rw in write read; do load "$(uri d1)" --rw=$rw --bs=1m --iodepth=4 --size="$quarter" || exit 1; done

raws=()
for peer in $peers; do
  raws+=("$work/raw.${#raws[@]}")
  "$here/bench-nbd.sh" -a "$(uri d0)" -b "$peer" -p "$server" -r "$rounds" -t "$seconds" -s "$size" -W "$(cut -f1 "$names" | tr '\n' ' ')" \
    -P "$work/prepare" -F "$work/fresh" -q 100 -o "${raws[-1]}" >>"$keep" || exit 1
done
awk -F'\t' -v peers="$peers" '
  function median(p, side, w,  i, j, n, t, a) {
    n = count[p, side, w]; for (i = 1; i <= n; i++) { t = value[p, side, w, i]; for (j = i - 1; j > 0 && a[j] > t; j--) a[j + 1] = a[j]; a[j + 1] = t }
    return n % 2 ? a[(n + 1) / 2] : n ? (a[n / 2] + a[n / 2 + 1]) / 2 : 0 }
  FNR == 1 { file++ }
  file == 1 { names[++k] = $1; title[$1] = $2; next }
  $4 != "nan" { p = file - 1; side = $1 ~ /:\/\// ? "us" : "them"; value[p, side, $2, ++count[p, side, $2]] = $4 + 0 }
  END {
    n = split(peers, peer, " ")
    printf "| workload |"; for (p = 1; p <= n; p++) printf " blocktap | %s | ratio |", peer[p]; print " ours/best |"
    printf "|---|"; for (p = 1; p <= n; p++) printf "---|---|---|"; print "---|"
    for (i = 1; i <= k; i++) {
      w = names[i]; least = ""; printf "| %s |", title[w]
      for (p = 1; p <= n; p++) { us = median(p, "us", w); them = median(p, "them", w); r = them ? us / them : 0; if (least == "" || r < least) least = r
        printf " %.0f | %.0f | %.2f |", us, them, r }
      printf least < 1 ? " **%.2f** |\n" : " %.2f |\n", least } }' "$names" "${raws[@]}"
