#!/usr/bin/env bash
# engine.sh - a container engine of our own for the integration tests, on a Debian machine where none answers.
#
#   engine.sh settings     prints what the tests need in their environment, for eval; nothing if an engine of the user's answers. Starts nothing.
#                          Exit code 1 if no engine answers and none of our own can be started, with one line that says why
#   engine.sh start [PID]  starts ours and makes the image that servers stand on; prints the settings. PID is a process that uses it
#   engine.sh stop [PID]   PID needs it no more; ends it unless another living process uses it
#
# It needs root and dockerd (Debian package docker.io), and leaves alone what is not its own: no rules of netfilter, no forwarding, no files but in its folder,
# ports on loopback only. Containers reach each other, not the world. Its one visible trace is the bridge docker0, which goes when it ends.
#
# Environment:
#   BLOCKTAP_ENGINE  where it keeps its files (default: blocktap/engine in the user's cache folder); at most 60 characters, since sockets are in it
set -u
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # dockerd and what it calls
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd) || exit 1
home=${BLOCKTAP_ENGINE:-${XDG_CACHE_HOME:-$HOME/.cache}/blocktap/engine}
address=unix://$home/docker.sock
image=localhost/blocktap-jre # localhost: no registry is ever asked for it
log=$home/dockerd.log
answer_seconds=60

say() { printf 'engine: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
client() { docker -H "$address" "$@"; }
answers() { timeout 10 docker -H "$address" version >/dev/null 2>&1; }

# Not kill -0, which also finds a dead process that nobody has collected yet.
alive() { [[ -n $(tr -d '\0' 2>/dev/null <"/proc/$1/cmdline") ]]; }

# Our dockerd. A pid file outlives a kill -9, and its number may be another program's by now: the command line must name our address.
our_pid() {
    local pid
    pid=$(cat -- "$home/docker.pid" 2>/dev/null)
    [[ $pid =~ ^[0-9]+$ ]] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "dockerd -H $address " && echo "$pid"
}

# Whether an engine answers that is somebody else's: the one that DOCKER_HOST or the client's context names.
another_answers() {
    [[ ${DOCKER_HOST:-} != "$address" ]] && type -P docker >/dev/null && timeout 10 docker version >/dev/null 2>&1
}

print_settings() {
    echo "export DOCKER_HOST=$address"
    echo "export BLOCKTAP_IT_ENGINE=own BLOCKTAP_IT_IMAGE=$image"
    # Testcontainers' reaper is an image of a public registry, which this engine does not reach.
    echo 'export TESTCONTAINERS_RYUK_DISABLED=true'
    # Testcontainers takes a machine with a file /.dockerenv for a container, and would look for published ports at the bridge.
    echo 'export TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1'
}

check_possible() {
    ((EUID == 0)) || die "no container engine answers, and one of our own needs root"
    type -P dockerd >/dev/null && type -P docker >/dev/null ||
        die "no container engine answers, and there is no dockerd to start one (Debian package docker.io)"
    ((${#home} <= 60)) || die "BLOCKTAP_ENGINE=$home is longer than 60 characters, too long for the sockets in it"
}

# Whatever tests that were killed have left: without the reaper nobody else removes it.
sweep() {
    local label=label=org.testcontainers=true ids
    mapfile -t ids < <(client ps -aq --filter "$label")
    ((${#ids[@]} == 0)) || client rm -f "${ids[@]}" >/dev/null
    mapfile -t ids < <(client network ls -q --filter "$label")
    ((${#ids[@]} == 0)) || client network rm "${ids[@]}" >/dev/null
    client image prune -af --filter "$label" >/dev/null
    client image prune -f >/dev/null # builds that lost their name to a later one
}

start_engine() {
    local pid end
    if pid=$(our_pid) && answers; then return; fi
    if [[ -z $pid ]]; then
        # A dockerd that was killed leaves these, and the next one would wait for the containerd that they name.
        rm -f -- "$home/docker.pid" "$home/docker.sock" "$home/exec/containerd/containerd.pid"
        # In place of /etc/docker/daemon.json; the key would be /etc/docker/key.json.
        printf '{"deprecated-key-path": "%s"}\n' "$home/key.json" >"$home/daemon.json"
        # In a session of its own and without our lock: it outlives this script. Small networks, since tests make many.
        setsid dockerd -H "$address" \
            --pidfile "$home/docker.pid" --data-root "$home/data" --exec-root "$home/exec" --config-file "$home/daemon.json" \
            --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --ip=127.0.0.1 \
            --default-address-pool base=172.28.0.0/16,size=24 --shutdown-timeout 3 --log-level warn \
            >"$log" 2>&1 </dev/null 9>&- &
        pid=$!
        trap 'kill -- "$pid"; exit 143' TERM INT
        end=$((SECONDS + answer_seconds))
        until answers; do
            alive "$pid" || { tail -n 20 -- "$log" >&2; die "dockerd has ended, its log is $log"; }
            ((SECONDS < end)) || { tail -n 20 -- "$log" >&2; die "dockerd (pid $pid) does not answer within $answer_seconds s, its log is $log"; }
            sleep 0.1
        done
        trap - TERM INT
        sweep
    else
        die "our dockerd (pid $pid) runs and does not answer, its log is $log"
    fi
}

# Notes that a process uses the engine, or tells whether others do: one empty file each, named by its pid.
used_by_others() {
    local user
    for user in "$home"/users/*; do
        [[ -e $user ]] || continue
        alive "${user##*/}" && return 0
        rm -f -- "$user"
    done
    return 1
}

stop_engine() {
    local pid
    pid=$(our_pid)
    if [[ -n $pid ]]; then
        answers && sweep
        kill -- "$pid"
        for ((tries = 0; tries < 150; tries++)); do
            alive "$pid" || break
            sleep 0.1
        done
        alive "$pid" && die "dockerd (pid $pid) does not end, its log is $log"
        ip link delete docker0 2>/dev/null
    fi
    rm -f -- "$home/docker.pid" "$home/docker.sock"
    umount "$home/exec/netns/default" "$home/data" 2>/dev/null # dockerd may leave these mounted
    return 0
}

lock() {
    mkdir -p -- "$home/users" || die "there is no folder $home, and it can not be made; name another by BLOCKTAP_ENGINE"
    exec 9>"$home/lock"
    flock 9
}

user=${2:-}
(($# <= 2)) && [[ $user =~ ^[0-9]*$ ]] || set -- usage
case ${1:-} in
    settings)
        another_answers && exit 0
        check_possible
        print_settings
        ;;
    start)
        another_answers && exit 0
        check_possible
        lock
        [[ -z $user ]] || : >"$home/users/$user"
        start_engine
        DOCKER_HOST=$address "$here/base-image.sh" "$image" 9>&- >&2 || exit 1
        print_settings
        ;;
    stop)
        [[ -e $home/lock ]] || exit 0
        lock
        [[ -z $user ]] || rm -f -- "$home/users/$user"
        if used_by_others; then say "left running, another process uses it"; else stop_engine; fi
        ;;
    *)
        sed -n '4,7p' -- "$0" >&2
        exit 2
        ;;
esac
