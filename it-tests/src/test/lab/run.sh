#!/usr/bin/env bash
# run.sh RUN_LAB CACHE SCENARIO [OPTION...] - runs a scenario of this folder in a lab (a real Xen under QEMU).
#
#   RUN_LAB    the lab's run-lab.sh      CACHE  what its build-lab.sh made      SCENARIO  for example xen-guest.sh
#   OPTION     for run-lab.sh, for example --timeout 600
#
# Domain 0 sees what Maven has built (mvn -DskipTests package) as /share/lib, jars, and /share/test-classes.
set -euo pipefail
here=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../../.." && pwd)
build=${BLOCKTAP_BUILD:-target}
(($# >= 3)) || { sed -n '2,7p' "$0" >&2; exit 2; }
run_lab=$1 cache=$2 scenario=$here/$3
shift 3
[[ -e $root/launcher/$build/blocktap-launcher.jar && -d $root/it-tests/$build/test-classes ]] ||
    { echo "run.sh: nothing is built: mvn -DskipTests package" >&2; exit 2; }

share=$(mktemp -d "${TMPDIR:-/tmp}/blocktap-lab.XXXXXX")
trap 'rm -rf "$share"' EXIT
mkdir "$share/lib"
cp "$root/launcher/$build"/lib/*.jar "$root/launcher/$build/blocktap-launcher.jar" "$share/lib/"
cp -r "$root/it-tests/$build/test-classes" "$share/"
"$run_lab" "$cache" --share "$share" "$@" "$scenario"
