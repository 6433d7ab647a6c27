#!/usr/bin/env bash
# ring-bench.sh - the loopback ring served by blocktap (Java) against the same ring served by plain C (ring-backend).
#
#   benchmarks/ring-bench.sh [options]
#
# Both servers run at the same time, pinned to cpu 0, and are measured one after the other in alternating order
# (C Java, Java C, ...), so drift of the machine hits both alike. The frontend is the C load generator in both cases.
#
# Set-ups:   same   frontend on cpu 0 too: no wake-up between cores, the most repeatable
#            cross  frontend on cpu 1: on a virtual machine mostly a measure of wake-ups
#
# Options
#   -r N         rounds (default 5)
#   -t SECONDS   length of each measurement (default 2)
#   -w SECONDS   load on a server before its first measurement, split over the depths (default 10; C gets a tenth)
#   -q DEPTHS    queue depths (default "1 8 32")
#   -T NAMES     terminators, of null and memory (default "null memory")
#   -S SETUPS    of same and cross (default "same cross")
#   -m MODE      read, write, randread, randwrite or randrw (default randrw, half reads)
#   -b BYTES     bytes of a request (default 4096)
#   -s SIZE      size of the memory disk (default 256M)
#   -j CMD       command that starts the other server; {socket} and {chain} are replaced. Default:
#                ./blocktap serve --tap loopback:unix={socket} {chain}
#   -N CHAIN     {chain} for null (default null)           -M CHAIN   for memory (default memory:size=SIZE)
#   -C ARGS      more arguments of ring-backend, e.g. "--spin-us 50" or "--small-pages"
#   -F ARGS      more arguments of ring-frontend
#   -x           C only
#   -o FILE      append every sample as TSV: setup terminator qd round server iops server_cpu_ns frontend_cpu_us p50_us
#                p99_us p999_us kicks_per_request sleeps_per_request others_percent
#   -k DIR       keep the two programs and the servers' output there (default: a scratch directory, removed at the end)
#
# The table: thousands of requests a second, median [min-max]; the ratio of the medians; CPU time of the whole server
# process (collector and compiler threads too) in ns per request, read from its CPU clock around the measured window;
# "others %" is the share of all CPUs that other processes had: above 10 believe the CPU columns only, and those little.
# Noise: give -j another ring-backend ('DIR/ring-backend {socket} {chain}' -M memory) and see how far 1.00 wanders.
#
# Exit: 0 all measured, 1 a server or a run failed, 2 usage. Ends only processes that it started, by their id.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

rounds=5 seconds=2 warmup=10
depths="1 8 32" terminators="null memory" setups="same cross"
mode=randrw bytes=4096 size=256M
command='./blocktap serve --tap loopback:unix={socket} {chain}'
null_chain=null memory_chain= c_args= frontend_args= with_java=1 samples= keep=

fail() { echo "ring-bench: $1" >&2; exit "${2:-1}"; }
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

while getopts r:t:w:q:T:S:m:b:s:j:N:M:C:F:o:k:xh opt; do
    case $opt in
        r) rounds=$OPTARG ;; t) seconds=$OPTARG ;; w) warmup=$OPTARG ;; q) depths=$OPTARG ;;
        T) terminators=$OPTARG ;; S) setups=$OPTARG ;; m) mode=$OPTARG ;; b) bytes=$OPTARG ;; s) size=$OPTARG ;;
        j) command=$OPTARG ;; N) null_chain=$OPTARG ;; M) memory_chain=$OPTARG ;;
        C) c_args=$OPTARG ;; F) frontend_args=$OPTARG ;; o) samples=$OPTARG ;; k) keep=$OPTARG ;; x) with_java=0 ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 0 ] || usage
memory_chain=${memory_chain:-memory:size=$size}
for t in $terminators; do
    case $t in null | memory) ;; *) fail "-T: no terminator '$t'; there are null and memory" 2 ;; esac
done
for s in $setups; do
    case $s in same | cross) ;; *) fail "-S: no set-up '$s'; there are same and cross" 2 ;; esac
done
if [[ " $setups " == *" cross "* ]] && ! taskset -c 0,1 true 2>/dev/null; then
    fail "set-up cross needs cpus 0 and 1; use -S same"
fi
if [ "$with_java" = 1 ] && [[ $command == ./blocktap\ * ]] && [ ! -x "$root/blocktap" ]; then
    fail "no $root/blocktap: build it, name another server with -j, or measure C only with -x"
fi

if [ "$with_java" = 1 ] && [[ $command == ./blocktap\ * ]]; then
    "$root/blocktap" stages >/dev/null || fail "$root/blocktap does not run"
    export BLOCKTAP_NO_BUILD=1 # it was built just now, if it had to be
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ring-bench.XXXXXX")
bin=${keep:-$work}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
started=() # pids that this script started, or that answered on a socket which only those could have made

stop_servers() {
    local pid i
    for pid in ${started[@]+"${started[@]}"}; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in ${started[@]+"${started[@]}"}; do
        for ((i = 0; i < 50; i++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    started=()
}
finish() {
    stop_servers
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

for program in ring-backend ring-frontend; do
    gcc -std=gnu11 -O2 -Wall -Wextra -o "$bin/$program" "$here/src/main/c/$program.c"
done
raw=$work/samples.tsv
: >"$raw"

field() { sed -n "s/.*\"$2\":\([-0-9.a-z]*\).*/\1/p" <<<"$1"; }

frontend_cpu() { if [ "$1" = same ]; then echo 0; else echo 1; fi; }

# frontend SETUP SOCKET arguments...
frontend() {
    local setup=$1 socket=$2
    shift 2
    # shellcheck disable=SC2086  # frontend_args is a list of words
    "$bin/ring-frontend" --json --cpu "$(frontend_cpu "$setup")" "$@" $frontend_args "$socket"
}

# start NAME SOCKET LOG command words... ; waits until it answers
start() {
    local name=$1 socket=$2 log=$3 answer pid
    shift 3
    (cd "$root" && exec taskset -c 0 "$@") >"$log" 2>&1 &
    started+=("$!")
    if ! answer=$("$bin/ring-frontend" --json --requests 1 --rw read --connect-seconds 30 "$socket"); then
        sed "s/^/  $name: /" "$log" >&2
        fail "$name does not answer on $socket"
    fi
    # A launcher script may have the real server as a child: end that one as well.
    pid=$(field "$answer" server_pid)
    if [ "$pid" -gt 0 ] && [ "$pid" != "${started[-1]}" ]; then
        started+=("$pid")
    fi
}

# warm SETUP TERMINATOR SOCKET SECONDS: fills the memory disk, then loads at every depth
warm() {
    local setup=$1 terminator=$2 socket=$3 share qd
    if [ "$terminator" = memory ]; then
        frontend "$setup" "$socket" --rw write --bs 32768 --qd 8 --size "$size" --requests "$fill_requests" >/dev/null
    fi
    share=$(awk -v s="$4" -v d="$depths" 'BEGIN { print s / split(d, a, " ") }')
    for qd in $depths; do
        measure "$setup" "$terminator" "$socket" "$qd" "$share" >/dev/null
    done
}

# measure SETUP TERMINATOR SOCKET QD SECONDS: one line of JSON
measure() {
    local range=()
    [ "$2" = null ] || range=(--size "$size")
    frontend "$1" "$3" --rw "$mode" --bs "$bytes" --qd "$4" --warmup-seconds 0.2 --seconds "$5" \
        ${range[@]+"${range[@]}"}
}

fill_requests=$(awk -v s="$size" 'BEGIN { n = s + 0; u = substr(s, length(s))
    n *= u == "K" ? 1024 : u == "M" ? 1048576 : u == "G" ? 1073741824 : 1; print int(n / 32768) }')
[ "$fill_requests" -gt 8 ] || fail "-s $size: want at least 512K" 2

servers="C"
[ "$with_java" = 1 ] && servers="C Java"

for setup in $setups; do
    for terminator in $terminators; do
        c_socket=$work/c.sock java_socket=$work/java.sock
        chain=$null_chain
        c_size=()
        if [ "$terminator" = memory ]; then
            chain=$memory_chain
            c_size=(--size "$size")
        fi
        # shellcheck disable=SC2086  # c_args is a list of words
        start C "$c_socket" "$bin/c.log" \
            "$bin/ring-backend" $c_args ${c_size[@]+"${c_size[@]}"} "$c_socket" "$terminator"
        warm "$setup" "$terminator" "$c_socket" "$(awk -v w="$warmup" 'BEGIN { print w / 10 }')"
        if [ "$with_java" = 1 ]; then
            line=${command//\{socket\}/$java_socket}
            read -ra words <<<"${line//\{chain\}/$chain}"
            start Java "$java_socket" "$bin/java.log" "${words[@]}"
            warm "$setup" "$terminator" "$java_socket" "$warmup"
        fi
        for ((round = 1; round <= rounds; round++)); do
            order=$servers
            [ $((round % 2)) = 0 ] && [ "$with_java" = 1 ] && order="Java C"
            for qd in $depths; do
                for server in $order; do
                    socket=$c_socket
                    [ "$server" = C ] || socket=$java_socket
                    json=$(measure "$setup" "$terminator" "$socket" "$qd" "$seconds") \
                        || fail "$server, $setup, $terminator, qd $qd: the run failed"
                    requests=$(field "$json" requests)
                    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$setup" "$terminator" "$qd" \
                        "$round" "$server" "$(field "$json" iops)" "$(field "$json" server_cpu_ns)" \
                        "$(field "$json" cpu_us)" "$(field "$json" p50_us)" "$(field "$json" p99_us)" \
                        "$(field "$json" p999_us)" \
                        "$(awk -v a="$(field "$json" kicks)" -v b="$requests" 'BEGIN { printf "%.4f", a / b }')" \
                        "$(awk -v a="$(field "$json" sleeps)" -v b="$requests" 'BEGIN { printf "%.4f", a / b }')" \
                        "$(field "$json" others_percent)" \
                        >>"$raw"
                done
            done
            echo "ring-bench: $setup $terminator round $round of $rounds" >&2
        done
        stop_servers
        rm -f "$c_socket" "$java_socket"
    done
done

[ -z "$samples" ] || cat "$raw" >>"$samples"

echo "$mode, $bytes bytes, $rounds rounds of $seconds s after $warmup s of warm-up; $(nproc) cpus, Linux $(uname -r)," \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
echo
awk -F'\t' '
    function median(list,    a, n, i, j, t) {
        n = split(list, a, " ")
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
        low = a[1]; high = a[n]
        return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    }
    function cell(key,    m) {
        if (!(key in iops)) return "-"
        m = median(iops[key])
        return sprintf("%.1f [%.1f-%.1f]", m / 1000, low / 1000, high / 1000)
    }
    function ratio(values, java, c) {
        if (!(java in values) || median(values[c]) <= 0) return "-"
        return sprintf("%.2f", median(values[java]) / median(values[c]))
    }
    function number(values, key, format) { return key in values ? sprintf(format, median(values[key])) : "-" }
    {
        row = $1 "\t" $2 "\t" $3
        if (!(row in seen)) { seen[row] = 1; rows[++count] = row }
        key = row "\t" $5
        iops[key] = iops[key] " " $6
        cpu[key] = cpu[key] " " $7
        p99[key] = p99[key] " " $10
        others[row] = others[row] " " $14
    }
    END {
        print "| set-up | terminator | QD | C k/s | Java k/s | Java/C | C CPU ns | Java CPU ns | Java/C CPU |" \
            " C p99 us | Java p99 us | others % |"
        print "|---|---|---|---|---|---|---|---|---|---|---|---|"
        for (i = 1; i <= count; i++) {
            split(rows[i], part, "\t")
            c = rows[i] "\tC"; java = rows[i] "\tJava"
            printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %.0f |\n", part[1], part[2], part[3],
                cell(c), cell(java), ratio(iops, java, c), number(cpu, c, "%.0f"), number(cpu, java, "%.0f"),
                ratio(cpu, java, c), number(p99, c, "%.1f"), number(p99, java, "%.1f"), median(others[rows[i]])
        }
    }' "$raw"
