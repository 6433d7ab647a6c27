# The xenstore client against the real xenstored, over the socket and over /dev/xen/xenbus; ends a guest to see its watch.
lab_guest_start g1
lab_program XenStoreLab xl destroy g1
