/**
 * What the tests against real programs are written with: finding and running programs, blocktap as a process of its own, a client
 * that speaks NBD byte by byte, and clients that verify what they wrote.
 *
 * <p>Start with {@link io.blocktap.it.support.ServedDisk}.
 */
@NullMarked
package io.blocktap.it.support;

import org.jspecify.annotations.NullMarked;
