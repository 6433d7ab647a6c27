#!/usr/bin/env bash
# Fills the folder that a lab's domain 0 sees as /share: share.sh DIR. After: mvn -DskipTests package
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../../../.."
mkdir -p "$1/lib"
cp launcher/target/lib/*.jar launcher/target/blocktap-launcher.jar "$1/lib/"
cp -r it-tests/target/test-classes "$1/"
