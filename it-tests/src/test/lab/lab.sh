#!/usr/bin/env bash
# lab.sh SCENARIO [OPTION...] - builds the project's own lab where it is not built yet, and runs a scenario in it.
#
#   SCENARIO  for example xen-guest.sh      OPTION  for run-lab.sh, for example --timeout 600
#
# The lab is kept in BLOCKTAP_LAB (default: blocktap/lab in the user's cache folder),
# with one folder for each version of its scripts; two builds take turns.
set -euo pipefail
here=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
(($# >= 1)) || { sed -n '2,7p' "$0" >&2; exit 2; }
[[ -f $here/$1 ]] || { echo "lab.sh: there is no scenario $1 in $here" >&2; exit 2; }
cache=${BLOCKTAP_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/blocktap/lab}
stamp=$(cat "$here"/machine/*.sh "$here"/machine/lab/* | sha256sum | cut -c1-16)
cache=$cache/$stamp
mkdir -p "$cache"
(
    flock 9
    "$here/machine/build-lab.sh" "$cache" 9>&-
) 9>"$cache/lock" >&2
exec "$here/run.sh" "$here/machine/run-lab.sh" "$cache" "$@"
