#!/usr/bin/env bash
# run.sh RUN_LAB CACHE SCRIPT [OPTION...] [-- ARGUMENT...] - runs a script of this folder in the domain 0 of a lab (a real Xen under QEMU).
#
#   RUN_LAB    the lab's run-lab.sh      CACHE  what its build-lab.sh made      SCRIPT  for example suite.sh
#   OPTION     for run-lab.sh, for example --timeout 600                        ARGUMENT  for the script
#
# Domain 0 sees what Maven has built (mvn -DskipTests package) as /share/lib, jars, and /share/test-classes; this folder as /share/lab.
set -euo pipefail
here=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../../.." && pwd)
build=${BLOCKTAP_BUILD:-target}
(($# >= 3)) || { sed -n '2,7p' "$0" >&2; exit 2; }
run_lab=$1 cache=$2 script=$here/$3
shift 3
[[ -f $script ]] || { echo "run.sh: there is no $script" >&2; exit 2; }
[[ -e $root/launcher/$build/blocktap-launcher.jar && -d $root/it-tests/$build/test-classes ]] ||
    { echo "run.sh: nothing is built: mvn -DskipTests package" >&2; exit 2; }
options=()
while (($#)); do
    [[ $1 != -- ]] || { shift; break; }
    options+=("$1"); shift
done

share=$(mktemp -d "${TMPDIR:-/tmp}/blocktap-lab.XXXXXX")
trap 'rm -rf "$share"' EXIT
mkdir "$share/lib"
cp "$root/launcher/$build"/lib/*.jar "$root/launcher/$build/blocktap-launcher.jar" "$share/lib/"
cp -r "$root/it-tests/$build/test-classes" "$share/"
cp -r "$here" "$share/lab"
"$run_lab" "$cache" --share "$share" ${options[@]+"${options[@]}"} "$script" "$@"
