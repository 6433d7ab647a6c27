#!/usr/bin/env bash
# Measures blocktap's NBD tap beside its peers in alternating runs, and prints one table a pair: IOPS, CPU time for each I/O, ratios.
#
#   benchmarks/nbd-peers.sh [-r ROUNDS] [-t SECONDS] [-s SIZE] [-w REGEX] [-p 'PAIR...']
#
# A pair is CHAIN/PEER: memory/nbdkit-memory, image/nbdkit-file, image/nbd-server, image/qsd. Needs what bench-nbd.sh needs.
set -u -o pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
rounds=3 seconds=3 size=512M workloads='randread-4k-q(1|16|64)$|randwrite-4k-q(1|16|64)$|qimg-(read|write)-4k'
pairs='memory/nbdkit-memory image/nbdkit-file image/nbd-server image/qsd'
while getopts r:t:s:w:p:h option; do case $option in
  r) rounds=$OPTARG;; t) seconds=$OPTARG;; s) size=$OPTARG;; w) workloads=$OPTARG;; p) pairs=$OPTARG;;
  *) sed -n '2,/^set -u/p' "$0" | sed '$d;s/^# \{0,1\}//'; exit 2;; esac; done

work=$(mktemp -d "${TMPDIR:-/tmp}/nbd-peers.XXXXXX") || exit 1
server=
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; server=; }; }
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

start() {                                   # start CHAIN: sets uri
  local chain
  rm -f "$work/s.sock"
  case $1 in
    memory) chain=memory:size=$size;;
    image) head -c "$(numfmt --from=iec "$size")" /dev/urandom >"$work/d.img"; sync "$work/d.img"; chain=image:$work/d.img;;
    *) chain=$1;;
  esac
  "$here/../blocktap" serve --tap "nbd:unix=$work/s.sock" "$chain" >"$work/ready" 2>"$work/log" &
  server=$!
  for _ in $(seq 300); do [ -s "$work/ready" ] && break; kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
  [ -s "$work/ready" ] || { cat "$work/log" >&2; exit 1; }
  uri="nbd+unix:///?socket=$work/s.sock"
  # A JVM compiles what it has seen often: let it see every kind of request before the first sample.
  if [ "$1" = memory ]; then head -c "$(numfmt --from=iec "$size")" /dev/urandom | nbdcopy - "$uri"; fi
  local rw q
  for rw in randread randwrite; do for q in 1 16 64; do
    fio --name=w --ioengine=nbd --uri="$uri" --rw=$rw --bs=4k --iodepth=$q --size="$size" --norandommap --time_based --runtime=3 >/dev/null
  done; done
}

for pair in $pairs; do
  start "${pair%%/*}"
  printf '\n## %s\n\n' "$pair"
  "$here/bench-nbd.sh" -a "$uri" -b "${pair##*/}" -p "$server" -r "$rounds" -t "$seconds" -s "$size" -w "$workloads" -q 100
  stop
done
