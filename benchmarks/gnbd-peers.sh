#!/usr/bin/env bash
# Measures GNBD both ways beside NBD both ways, over the same two hops: a client on a unix socket, a server in the middle, loopback TCP, a
# server with a disk in memory. blocktap (nbd tap and gnbd terminator; gnbd tap and memory) in alternating runs with nbdkit (its nbd plugin; its memory plugin).
#
#   benchmarks/gnbd-peers.sh [-r ROUNDS] [-t SECONDS] [-s SIZE] [-w REGEX] [-c CONNECTIONS]
#
# CPU figures are those of both servers together. Needs what bench-nbd.sh needs.
set -u -o pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
rounds=3 seconds=2 size=256M workloads='rand(read|write)-(4|64)k-q(1|16|64)$' connections=1
while getopts r:t:s:w:c:h option; do case $option in
  r) rounds=$OPTARG;; t) seconds=$OPTARG;; s) size=$OPTARG;; w) workloads=$OPTARG;; c) connections=$OPTARG;;
  *) sed -n '2,/^set -u/p' "$0" | sed '$d;s/^# \{0,1\}//'; exit 2;; esac; done

work=$(mktemp -d "${TMPDIR:-/tmp}/gnbd-peers.XXXXXX") || exit 1
pair=
trap '[ -z "$pair" ] || { kill "$pair" 2>/dev/null; wait "$pair" 2>/dev/null; }; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# One shell above both servers, so that the CPU time of both counts.
BLOCKTAP=$here/../blocktap SIZE=$size CONNECTIONS=$connections bash -c '
  trap "kill \$(jobs -p); wait" EXIT; trap exit TERM INT
  "$BLOCKTAP" serve --tap gnbd:tcp=127.0.0.1:0,export=disk "memory:size=$SIZE" >"$1/far" 2>"$1/far.log" &
  until [ -s "$1/far" ] || ! kill -0 $!; do sleep 0.1; done
  port=$(sed "s|.*:\([0-9]*\)/.*|\1|" "$1/far")
  "$BLOCKTAP" serve --tap "nbd:unix=$1/s.sock" "gnbd:host=127.0.0.1,export=disk,port=$port,connections=$CONNECTIONS" >"$1/ready" 2>"$1/log" &
  wait' gnbd-peers "$work" &
pair=$!
for _ in $(seq 300); do [ -s "$work/ready" ] && break; kill -0 "$pair" 2>/dev/null || break; sleep 0.1; done
[ -s "$work/ready" ] || { cat "$work/far.log" "$work/log" >&2; exit 1; }
uri="nbd+unix:///?socket=$work/s.sock"

# A JVM compiles what it has seen often: let it see every kind of request before the first sample.
head -c "$(numfmt --from=iec "$size")" /dev/urandom | nbdcopy - "$uri" || exit 1
for rw in randread randwrite; do for bs in 4k 64k; do for q in 1 16 64; do
  fio --name=w --ioengine=nbd --uri="$uri" --rw=$rw --bs=$bs --iodepth=$q --size="$size" --norandommap --time_based --runtime=2 >/dev/null || exit 1
done; done; done

"$here/bench-nbd.sh" -a "$uri" -b nbdkit-nbd -p "$pair" -r "$rounds" -t "$seconds" -s "$size" -w "$workloads" -q 100
