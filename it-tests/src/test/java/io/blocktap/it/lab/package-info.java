/**
 * Programs that run in domain 0 of a real Xen, not in a test JVM: the scripts in {@code src/test/lab} start them. Each prints a line for a check, and ends
 * with exit code 1 at the first that fails.
 */
@NullMarked
package io.blocktap.it.lab;

import org.jspecify.annotations.NullMarked;
