#!/usr/bin/env bash
# run.sh RUN_LAB CACHE SCENARIO [OPTION...] - runs a scenario of this folder in a lab (a real Xen under QEMU).
#
#   RUN_LAB    the lab's run-lab.sh      CACHE  what its build-lab.sh made      SCENARIO  for example xenstore.sh
#   OPTION     for run-lab.sh, for example --timeout 600
#
# Takes the classes that Maven has compiled (mvn test-compile), and the jars they need from Maven's local repository.
set -euo pipefail
here=$(cd "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../../.." && pwd)
build=${BLOCKTAP_BUILD:-target}
(($# >= 3)) || { sed -n '2,7p' "$0" >&2; exit 2; }
run_lab=$1 cache=$2 scenario=$here/$3
shift 3
[[ -d $root/it-tests/$build/test-classes && -d $root/tap-transport/$build/classes ]] ||
    { echo "run.sh: nothing is compiled: mvn test-compile" >&2; exit 2; }

share=$(mktemp -d "${TMPDIR:-/tmp}/blocktap-lab.XXXXXX")
trap 'rm -rf "$share"' EXIT
mkdir "$share/lib"
cp -r "$root/tap-transport/$build/classes" "$share/lib/transport"
cp -r "$root/it-tests/$build/test-classes" "$share/lib/scenarios"
mvn -o -q -f "$root/pom.xml" -pl tap-transport dependency:build-classpath \
    -DincludeScope=runtime -Dmdep.outputFile="$share/classpath"
tr ':' '\n' <"$share/classpath" | while read -r jar; do cp "$jar" "$share/lib/"; done
"$run_lab" "$cache" --share "$share" "$@" "$scenario"
