/** Scenarios that run in dom0 of a real Xen: main classes, started there by the scripts in {@code src/test/lab}. They need no test framework there. */
@NullMarked
package io.blocktap.it.xen;

import org.jspecify.annotations.NullMarked;
