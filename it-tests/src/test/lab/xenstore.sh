#!/bin/bash
# Runs in the lab's dom0: the xenstore client against the real xenstored, over the socket and over /dev/xen/xenbus.
# Needs in /share what run.sh puts there.
set -eu
lab_guest_start g1          # a domain that can end; a resumed lab has it already
java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto -Xmx64m \
    -cp "/share/test-classes:/share/lib/*" io.blocktap.it.lab.XenStoreLab \
    xl destroy g1
