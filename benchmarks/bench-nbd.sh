#!/usr/bin/env bash
# bench-nbd.sh - run one NBD workload set alternately against two servers and print a table.
#
#   bench-nbd.sh -a SIDE [-b SIDE] [options]
#
# A SIDE is either
#   * an NBD URI of a server that already runs (nbd://127.0.0.1:10809/name,
#     nbd+unix:///name?socket=/path), normally the project's own server, or
#   * the name of a peer that this script starts (and stops) itself on a private unix socket:
#       nbdkit-memory     nbdkit memory plugin, filled with data so that no read is a hole
#       nbdkit-file       nbdkit file plugin on a preallocated image in the page cache
#       nbdkit-null       nbdkit null plugin: no payload store at all (protocol cost only)
#       nbdkit-nbd        nbdkit nbd plugin in front of an nbdkit memory plugin on loopback TCP: two hops
#       nbd-server        the reference nbd-server (one process per connection)
#       qemu-nbd          qemu-nbd, aio=threads          qemu-nbd-uring  same, aio=io_uring
#       qemu-nbd-qcow2    qemu-nbd of a new qcow2 overlay on a raw base; -qcow2-uring: same, aio=io_uring
#       qsd               qemu-storage-daemon NBD export, aio=threads
#       qsd-uring         same, aio=io_uring
#     An nbdkit peer takes filters with '+', outermost first: nbdkit-file+log+stats, nbdkit-memory+cow ...
#     (cow -> the base in place of a copy of it, log -> scratch log file, stats -> scratch stats file, delay -> 0 s, luks -> LUKS image made here).
#
# Options
#   -r N        rounds (default 5). The order is A B, B A, A B ... so that drift hits both sides alike.
#   -t SECONDS  length of each fio run (default 3)
#   -s SIZE     export size of the peers, and range that the workloads touch (default 1G; the URI's
#               export must be at least that large)
#   -w REGEX    only the workloads whose name matches (default: all)
#   -x          read-only: leave out every workload that writes
#   -d DIR      where the peers' images live (default: a directory under $TMPDIR; use /dev/shm for tmpfs)
#   -n          peers listen on loopback TCP (a free port) in place of a unix socket
#   -o FILE     also append the raw samples as TSV: side workload round value unit server_cpu_us client_cpu_us p99_us others_cpu%
#   -p PID      process whose CPU time counts for a URI side (default: found with ss(8) from the socket)
#   -q PERCENT  a sample is quiet when other programs used no more than this share of all CPUs meanwhile
#               (default 10). The table uses the quiet samples of a row if there are at least three, else all
#               of them, and marks such a row with '~'. 100 takes every sample as quiet.
#   -Q SECONDS  how long to wait for such quiet before each sample (default 0: do not wait)
#   -l          list the workloads and stop
#   -W LIST     these workloads in place of the built-in ones. A random or sequential one (seqread-1m-q4) may end in
#               @OFFSET+LENGTH, its part of the export. One that begins with 'fresh:' does a fixed number of I/Os on a
#               server that was never written: a peer is started anew for each sample; of a URI side, see -F
#   -P COMMAND  is run once for each side before the first sample, with the side's URI as its argument
#   -F COMMAND  prints the URI of an export that was never written, another one each time
#
# Columns of the table: median [min-max] for each side, CPU microseconds for each I/O (median; server+client,
# user+system, the server with its whole process tree, the client with its start-up; a copy counts 256 KiB as
# one I/O), and the ratio A/B of the medians with the smallest and largest ratio of single rounds. Every value
# is "more is better" except 'connect' (milliseconds) and CPU. Where client and server share the cores, the sum
# of the two CPU figures sets the ceiling: cores * 1e6 / sum I/Os a second. It suffers less than the throughput
# from other programs on the machine.
#
# Needs (Debian): fio libnbd-bin qemu-utils jq iproute2; for peers also nbdkit nbd-server qemu-system-common.
# WARNING: the write workloads overwrite the export that the URI names.
set -u -o pipefail
export LC_ALL=C

ROUNDS=5 SECS=3 SIZE=1G FILTER='.' READONLY=0 DIR='' TCP=0 RAW='' PIDARG='' A='' B='' QUIET=10 WAITQ=0 FRESH='' PREPARE=''
ALL_WORKLOADS="connect
randread-4k-q1 randread-4k-q16 randread-4k-q32 randread-4k-q64 randread-4k-q128
randwrite-4k-q1 randwrite-4k-q16 randwrite-4k-q32 randwrite-4k-q64 randwrite-4k-q128
randrw70-4k-q32
randread-64k-q1 randread-64k-q16 randread-64k-q64
randwrite-64k-q1 randwrite-64k-q16 randwrite-64k-q64
qimg-read-4k-q64 qimg-read-64k-q64 qimg-read-1m-q16
qimg-write-4k-q64 qimg-write-64k-q64 qimg-write-1m-q16
copy-out copy-in"
usage() { sed -n '2,/^set -u/p' "$0" | sed '$d;s/^# \{0,1\}//'; exit "${1:-2}"; }
while getopts a:b:r:t:s:w:xd:no:p:q:Q:W:F:P:lh o; do case $o in
  a) A=$OPTARG;; b) B=$OPTARG;; r) ROUNDS=$OPTARG;; t) SECS=$OPTARG;; s) SIZE=$OPTARG;; w) FILTER=$OPTARG;;
  x) READONLY=1;; d) DIR=$OPTARG;; n) TCP=1;; o) RAW=$OPTARG;; p) PIDARG=$OPTARG;; q) QUIET=$OPTARG;; Q) WAITQ=$OPTARG;;
  W) ALL_WORKLOADS=$OPTARG;; F) FRESH=$OPTARG;; P) PREPARE=$OPTARG;;
  l) tr ' ' '\n' <<<"$ALL_WORKLOADS"; exit 0;; h) usage 0;; *) usage;; esac; done
[ -n "$A" ] || usage

for t in fio nbdcopy nbdinfo qemu-img jq ss awk; do
  command -v "$t" >/dev/null || { echo "bench-nbd: $t is missing" >&2; exit 2; }; done

WORK=$(mktemp -d "${DIR:-${TMPDIR:-/tmp}}/bench-nbd.XXXXXX") || exit 2
SAMPLES=$WORK/samples.tsv; : >"$SAMPLES"
KILL=()                                     # only processes that this script started itself
cleanup() { for p in ${KILL[@]+"${KILL[@]}"}; do kill "$p" 2>/dev/null; done
            for p in ${KILL[@]+"${KILL[@]}"}; do wait "$p" 2>/dev/null; done; rm -rf "$WORK"; }
trap cleanup EXIT; trap 'exit 130' INT TERM

bytes() { numfmt --from=iec "$1"; }
SIZEB=$(bytes "$SIZE")

# One source of non-zero, incompressible data, used to fill images and as input of copy-in.
fill() { head -c "$SIZEB" /dev/urandom >"$1"; }
SRC=$WORK/src.img; fill "$SRC"

free_port() { python3 -c 'import socket;s=socket.socket();s.bind(("127.0.0.1",0));print(s.getsockname()[1])'; }
wait_up() { local i; for i in $(seq 100); do nbdinfo --size "$1" >/dev/null 2>&1 && return 0; sleep 0.1; done
            echo "bench-nbd: $1 does not answer" >&2; return 1; }

# start_peer NAME TAG: sets URI and PID
start_peer() {
  local name=$1 tag=$2 sock=$WORK/$2.sock img=$WORK/$2.img port='' exp='' cmd=() base filters=() extra=() f
  [ $TCP = 1 ] && port=$(free_port)
  base=${name%%+*}; IFS=+ read -ra filters <<<"${name#"$base"}"
  case $base in
    nbdkit-memory|nbdkit-null|nbdkit-nbd) ;;
    qemu-nbd-qcow2*) rm -f "$img"; qemu-img create -q -f qcow2 -b "$SRC" -F raw "$img" || exit 2;;
    nbdkit-file) case $name in *+cow*) img=$SRC;; *) cp "$SRC" "$img"; sync "$img"; cat "$img" >/dev/null;; esac;;
    *) cp "$SRC" "$img"; sync "$img"; cat "$img" >/dev/null;;
  esac
  case $base in
  nbdkit-nbd)
    # One shell above both, so that the CPU time of both counts.
    local far; far=$(free_port)
    bash -c 'trap "kill \$(jobs -p); wait" EXIT; trap exit TERM INT
      nbdkit -f -i 127.0.0.1 -p "$1" memory "$2" & until nbdinfo --size "nbd://127.0.0.1:$1" >/dev/null 2>&1; do sleep 0.1; done
      nbdkit -f -U "$3" nbd hostname=127.0.0.1 port="$1" & wait' nbdkit-nbd "$far" "$SIZE" "$sock" >/dev/null 2>"$WORK/$tag.err" & ;;
  nbdkit-*)
    cmd=(nbdkit -f --pidfile "$WORK/$tag.pid")
    if [ $TCP = 1 ]; then cmd+=(-i 127.0.0.1 -p "$port"); else cmd+=(-U "$sock"); fi
    for f in "${filters[@]}"; do [ -n "$f" ] || continue; cmd+=(--filter="$f"); case $f in
      log) extra+=(logfile="$WORK/$tag.log");; stats) extra+=(statsfile="$WORK/$tag.stats");;
      delay) extra+=(rdelay=0 wdelay=0);;
      luks) qemu-img create -q -f luks --object secret,id=s,data=bench -o key-secret=s,iter-time=50 "$img.luks" "$SIZE"
            mv "$img.luks" "$img"; fallocate -l "$(stat -c %s "$img")" "$img"; extra+=(passphrase=bench);;
    esac; done
    case $base in nbdkit-memory) cmd+=(memory "$SIZE");; nbdkit-null) cmd+=(null "$SIZE");; nbdkit-file) cmd+=(file "$img");;
      *) echo "unknown peer $name" >&2; exit 2;; esac
    "${cmd[@]}" ${extra[@]+"${extra[@]}"} >/dev/null 2>"$WORK/$tag.err" & ;;
  nbd-server)
    { printf '[generic]\n'
      if [ $TCP = 1 ]; then printf '  listenaddr = 127.0.0.1\n  port = %s\n' "$port"
      else printf '  unixsock = %s\n  duallisten = false\n' "$sock"; fi
      printf '  allowlist = true\n[x]\n  exportname = %s\n  flush = true\n  fua = true\n  trim = true\n' "$img"; } >"$WORK/$tag.conf"
    # it goes to the background by itself (with -d it would serve a single client and end)
    nbd-server -C "$WORK/$tag.conf" -p "$WORK/$tag.pid" >/dev/null 2>"$WORK/$tag.err" & exp=x ;;
  qemu-nbd|qemu-nbd-uring|qemu-nbd-qcow2|qemu-nbd-qcow2-uring)
    case $base in *-qcow2*) f=qcow2;; *) f=raw;; esac
    cmd=(qemu-nbd -f $f -t -e 16 --cache=writeback --discard=unmap); case $base in *-uring) cmd+=(--aio=io_uring);; esac
    if [ $TCP = 1 ]; then cmd+=(-b 127.0.0.1 -p "$port"); else cmd+=(-k "$sock"); fi
    "${cmd[@]}" "$img" >/dev/null 2>"$WORK/$tag.err" & ;;
  qsd|qsd-uring)
    f=threads; [ $base = qsd-uring ] && f=io_uring
    cmd=(qemu-storage-daemon --blockdev "file,node-name=x,filename=$img,aio=$f,discard=unmap")
    if [ $TCP = 1 ]; then cmd+=(--nbd-server "addr.type=inet,addr.host=127.0.0.1,addr.port=$port,max-connections=16")
    else cmd+=(--nbd-server "addr.type=unix,addr.path=$sock,max-connections=16"); fi
    "${cmd[@]}" --export nbd,id=e,node-name=x,name=x,writable=on >/dev/null 2>"$WORK/$tag.err" & exp=x ;;
  *) echo "bench-nbd: unknown peer $name" >&2; exit 2;;
  esac
  PID=$!
  if [ "$base" = nbd-server ]; then wait "$PID"; for _ in $(seq 50); do [ -s "$WORK/$tag.pid" ] && break; sleep 0.1; done; PID=$(cat "$WORK/$tag.pid"); fi
  KILL+=("$PID")
  if [ $TCP = 1 ]; then URI="nbd://127.0.0.1:$port/$exp"; else URI="nbd+unix:///$exp?socket=$sock"; fi
  wait_up "$URI" || { cat "$WORK/$tag.err" >&2; exit 2; }
  # memory and LUKS peers start out empty: fill them so that reads return stored data
  case $name in nbdkit-memory*|nbdkit-nbd|*luks*) nbdcopy "$SRC" "$URI" || exit 2;; esac
}

pid_of_uri() {                              # listening process of a URI, through ss(8)
  local u=$1 s p
  case $u in
    *socket=*) s=${u##*socket=}; s=${s%%&*}; ss -xlpH 2>/dev/null | awk -v s="$s" '$5==s' ;;
    *) p=${u#*://}; p=${p%%/*}; case $p in *:*) p=${p##*:};; *) p=10809;; esac; ss -tlpH "sport = :$p" 2>/dev/null ;;
  esac | grep -o 'pid=[0-9]*' | head -1 | cut -d= -f2
}

# CPU time of a process tree in clock ticks (live descendants, plus reaped children)
tree_ticks() {
  local todo=("$1") p sum=0 t
  while [ ${#todo[@]} -gt 0 ]; do p=${todo[0]}; todo=("${todo[@]:1}")
    t=$(sed 's/.*) //' "/proc/$p/stat" 2>/dev/null | awk '{print $12+$13+$14+$15}') || continue
    sum=$((sum + ${t:-0})); todo+=($(cat /proc/"$p"/task/*/children 2>/dev/null)); done
  echo "$sum"
}

# Each workload prints: value unit ios p99_us(or -)
run_workload() {
  local w=${1#fresh:} uri=$2 rw bs q out n t0 t1 from=0 range=$SIZEB how
  case $w in *@*) from=${w#*@} range=$(bytes "${from#*+}") from=$(bytes "${from%+*}") w=${w%@*};; esac
  case $w in
  connect)
    n=40; t0=$(date +%s%N); for _ in $(seq $n); do nbdinfo --size "$uri" >/dev/null || return 1; done; t1=$(date +%s%N)
    awk -v n=$n -v d=$((t1-t0)) 'BEGIN{printf "%.3f ms %d -\n", d/n/1e6, n}' ;;
  rand*-q*|seq*-q*)
    IFS=- read -r rw bs q <<<"${w#seq}"; q=${q#q}
    local mix=(); [ "$rw" = randrw70 ] && { rw=randrw; mix=(--rwmixread=70); }
    how=(--norandommap --time_based --runtime="$SECS" --ramp_time=300ms)
    case $1 in fresh:rand*) how=(--io_size=$((range / 128)));; fresh:*) how=();; esac   # of 4 KiB: one for each eight clusters of 64 KiB
    out=$(fio --name=w --ioengine=nbd --uri="$uri" --rw="$rw" ${mix[@]+"${mix[@]}"} --bs="$bs" --iodepth="$q" --offset="$from" --size="$range" \
          --randrepeat=0 ${how[@]+"${how[@]}"} --output-format=json 2>/dev/null) || return 1
    sed -n '/^{/,$p' <<<"$out" | jq -r '.jobs[0] | [ (.read.iops + .write.iops), "IOPS", (.read.total_ios + .write.total_ios),
          ([.read.clat_ns.percentile["99.000000"] // 0, .write.clat_ns.percentile["99.000000"] // 0] | max / 1000) ] | @tsv' ;;
  qimg-*)
    IFS=- read -r _ rw bs q <<<"$w"; q=${q#q}
    case $bs in 4k) n=100000;; 64k) n=20000;; 1m) n=1500;; esac
    local wr=(); [ "$rw" = write ] && wr=(-w --pattern=165)
    out=$(qemu-img bench -f raw ${wr[@]+"${wr[@]}"} -c $n -d "$q" -s "$bs" "$uri" 2>&1) || return 1
    awk -v n=$n -v b="$(bytes "${bs^^}")" '/completed in/{s=$4; if (b==4096) printf "%.0f IOPS %d -\n", n/s, n; else printf "%.1f MiB/s %d -\n", n*b/s/1048576, n}' <<<"$out" ;;
  copy-out|copy-in)
    t0=$(date +%s%N)
    if [ "$w" = copy-out ]; then nbdcopy "$uri" null: || return 1; n=$(nbdinfo --size "$uri"); else nbdcopy "$SRC" "$uri" || return 1; n=$SIZEB; fi
    t1=$(date +%s%N)
    awk -v n="$n" -v d=$((t1-t0)) 'BEGIN{printf "%.1f MiB/s %d -\n", n/1048576/(d/1e9), n/262144}' ;;
  esac
}

# busy clock ticks of the whole machine (user nice system irq softirq steal), and of this script's finished children
busy_ticks() { awk '/^cpu /{print $2+$3+$4+$7+$8+$9; exit}' /proc/stat; }
own_ticks()  { sed 's/.*) //' "/proc/$$/stat" | awk '{print $12+$13+$14+$15}'; }
HZ=$(getconf CLK_TCK) CPUS=$(nproc)
wait_quiet() {
  local i b0 b1
  for ((i = 0; i < 4 * WAITQ; i++)); do b0=$(busy_ticks); sleep 0.25; b1=$(busy_ticks)
    [ $((400 * (b1 - b0))) -le $(((QUIET + 2) * HZ * CPUS)) ] && return; done
}

# A server that was never written: sets URI and PID. The peer's start is not part of the sample.
side_fresh() {
  sync -f "$WORK"                           # what the runs before have left for the disk to do
  case $2 in *://*) URI=$($FRESH) && PID=${PIDARG:-$(pid_of_uri "$URI")};; *) start_peer "$2" "fresh-$1";; esac || exit 2
}
side_fresh_end() {
  case $2 in *://*) return;; esac
  unset 'KILL[-1]'; kill "$PID"; wait "$PID"; rm -f "$WORK/fresh-$1".*
} 2>/dev/null

sample() {                                  # sample SIDE URI PID WORKLOAD ROUND
  case $4 in fresh:*) local peer=$B; [ "$1" = A ] && peer=$A
    side_fresh "$1" "$peer"; sample_of "$1" "$URI" "$PID" "$4" "$5"; side_fresh_end "$1" "$peer";;
  *) sample_of "$@";; esac
}
sample_of() {
  local side=$1 uri=$2 pid=$3 w=$4 r=$5 c0=0 c1=0 line cpu=- b0 b1 o0 o1 t0 t1 other
  wait_quiet
  [ -n "$pid" ] && c0=$(tree_ticks "$pid")
  b0=$(busy_ticks) o0=$(own_ticks) t0=$(date +%s%N)
  line=$(run_workload "$w" "$uri") || { echo "bench-nbd: $w failed on side $side" >&2; printf '%s\t%s\t%s\tnan\t-\t-\t-\t-\t-\n' "$side" "$w" "$r" >>"$SAMPLES"; return; }
  b1=$(busy_ticks) o1=$(own_ticks) t1=$(date +%s%N)
  [ -n "$pid" ] && { sleep 0.05; c1=$(tree_ticks "$pid"); }
  other=$(awk -v b=$((b1-b0)) -v o=$((o1-o0)) -v c=$((c1-c0)) -v e=$((t1-t0)) -v hz="$HZ" -v n="$CPUS" 'BEGIN{x=100*(b-o-c)/(e/1e9*hz*n); print (x<0?0:int(x+.5))}')
  # the ramp time of a fio run is served but not counted in its total_ios: scale it in
  cpu=$(awk -v c=$((c1-c0)) -v o=$((o1-o0)) -v hz="$HZ" -v n="$(awk '{print $3}' <<<"$line")" -v s="$SECS" -v w="$w" -v pid="$pid" \
      'BEGIN{ if (w ~ /^(rand|seq)/) n*=(s+0.3)/s; if (n>0) printf (pid!="" ? "%.2f" : "-")"\t%.2f", c/hz*1e6/n, o/hz*1e6/n; else print "-\t-"}')
  awk -v OFS='\t' -v s="$side" -v w="$w" -v r="$r" -v c="$cpu" -v o="$other" '{print s,w,r,$1,$2,c,$4,o}' <<<"$line" >>"$SAMPLES"
}

side_start() { case $1 in *://*) URI=$1; PID=${PIDARG:-$(pid_of_uri "$1")}; wait_up "$1" || exit 2;; *) start_peer "$1" "$2";; esac; }
side_start "$A" a; URI_A=$URI PID_A=$PID URI_B='' PID_B=''
[ -n "$B" ] && { side_start "$B" b; URI_B=$URI PID_B=$PID; }
[ -z "$PREPARE" ] || for u in "$URI_A" ${URI_B:+"$URI_B"}; do $PREPARE "$u" || { echo "bench-nbd: $PREPARE failed on $u" >&2; exit 2; }; done

WL=(); for w in $ALL_WORKLOADS; do [[ $w =~ $FILTER ]] || continue
  [ $READONLY = 1 ] && case $w in *write*|randrw*|copy-in) continue;; esac; WL+=("$w"); done
for r in $(seq "$ROUNDS"); do for w in "${WL[@]}"; do
  if [ -z "$B" ]; then sample A "$URI_A" "$PID_A" "$w" "$r"
  elif [ $((r % 2)) = 1 ]; then sample A "$URI_A" "$PID_A" "$w" "$r"; sample B "$URI_B" "$PID_B" "$w" "$r"
  else sample B "$URI_B" "$PID_B" "$w" "$r"; sample A "$URI_A" "$PID_A" "$w" "$r"; fi
done; done

printf '# A = %s\n# B = %s\n# %s rounds, fio runs of %s s, size %s, %s cores; quiet = others at most %s %% of the CPUs\n' "$A" "${B:--}" "$ROUNDS" "$SECS" "$SIZE" "$CPUS" "$QUIET"
awk -F'\t' -v two="$([ -n "$B" ] && echo 1 || echo 0)" -v quiet="$QUIET" '
  function sortn(a,n,  i,j,t){for(i=2;i<=n;i++){t=a[i];for(j=i-1;j>0&&a[j]+0>t+0;j--)a[j+1]=a[j];a[j+1]=t}}
  function med(a,n){ if(!n) return "-"; sortn(a,n); return n%2 ? a[(n+1)/2] : (a[n/2]+a[n/2+1])/2 }
  function fmt(v){ return v=="-" ? v : (v>=1000 ? sprintf("%.0f",v) : (v>=100 ? sprintf("%.1f",v) : sprintf("%.3g",v))) }
  $4!="nan" { s=$1; w=$2; if(!(w in seen)){seen[w]=1; order[++k]=w}; unit[w]=$5; n=++cnt[s,w]; val[s,w,n]=$4; cpu[s,w,n]=$6; cli[s,w,n]=$7; oth[s,w,n]=$9
              rnd[s,w,$3]=$4; if($9<=quiet) q[s,w]++; if($3>R)R=$3 }
  function side(s,w,  i,n,m,l,a,c,e,md,tilde){ n=cnt[s,w]; if(!n){C=""; M[s,w]=0; return "failed"}
    tilde = q[s,w]>=3 ? "" : "~"
    for(i=1;i<=n;i++) if(tilde!="" || oth[s,w,i]<=quiet){ a[++m]=val[s,w,i]; e[m]=cli[s,w,i]; if(cpu[s,w,i]!="-") c[++l]=cpu[s,w,i] }
    md=med(a,m); M[s,w]=md; C=fmt(med(c,l))"+"fmt(med(e,m)); return tilde fmt(md)" ["fmt(a[1])"-"fmt(a[m])"] n="m }
  END { printf "| workload | unit | A | A cpu us |"; if(two) printf " B | B cpu us | A/B |"; print ""; printf "|---|---|---|---|"; if(two) printf "---|---|---|"; print "";
    for(i=1;i<=k;i++){w=order[i]; a=side("A",w); printf "| %s | %s | %s | %s |", w, unit[w], a, C;
      if(two){ b=side("B",w); lo="";hi=""; for(r=1;r<=R;r++) if((("A",w,r) in rnd)&&(("B",w,r) in rnd)&&rnd["B",w,r]>0){x=rnd["A",w,r]/rnd["B",w,r]; if(lo==""||x<lo)lo=x; if(hi==""||x>hi)hi=x}
        printf " %s | %s | %s |", b, C, (M["B",w]>0 ? sprintf("%.2f [%.2f-%.2f]", M["A",w]/M["B",w], lo, hi) : "-") } print "" } }' "$SAMPLES"
[ -n "$RAW" ] && a="$A" b="${B:-none}" awk -F'\t' -v OFS='\t' '{ $1 = $1 == "A" ? ENVIRON["a"] : ENVIRON["b"]; print }' "$SAMPLES" >>"$RAW"
exit 0
