#!/usr/bin/env bash
# lab.sh [SCENARIO...] - runs scenarios (all, if none is named) in the project's own lab, a real Xen under QEMU, which it builds where it is not built yet.
#
#   SCENARIO  a file of the folder scenarios without its number and .sh, for example: lab.sh dom0-ext4 restart
#
# Environment:
#   BLOCKTAP_LAB          where the lab is kept (default: blocktap/lab in the user's cache folder), in one folder for each version of its scripts
#   BLOCKTAP_LAB_TIMEOUT  seconds (default 900)
#   BLOCKTAP_LAB_BUILD=1  only builds the lab
# What is built of blocktap is what Maven has built (mvn -DskipTests package).
set -euo pipefail
here=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
case ${1:-} in -*) sed -n '2,10p' "$0"; exit 2 ;; esac
cache=${BLOCKTAP_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/blocktap/lab}
stamp=$(cat "$here"/machine/*.sh "$here"/machine/lab/* | sha256sum | cut -c1-16)
cache=$cache/$stamp
mkdir -p "$cache"
(
    flock 9 # two builds take turns
    "$here/machine/build-lab.sh" "$cache" 9>&-
) 9>"$cache/lock" >&2
[[ ${BLOCKTAP_LAB_BUILD:-0} == 0 ]] || exit 0
exec "$here/run.sh" "$here/machine/run-lab.sh" "$cache" suite.sh --timeout "${BLOCKTAP_LAB_TIMEOUT:-900}" -- "$@"
