/**
 * The interposer {@code dump}: prints one line for each control message, request and response that passes.
 *
 * <p>Start at {@link io.blocktap.interposer.dump.DumpInterposer} (the hooks), which pushes plain numbers into a
 * {@link io.blocktap.interposer.dump.RecordRing}; {@link io.blocktap.interposer.dump.DumpWriter}, a thread of its own, turns them into
 * lines and writes those. So an event loop pays for a few stores and two looks at the clock a request, and never waits for the
 * sink: what finds the ring full is counted and not shown.
 *
 * <p>The form of the lines is documented in docs/stages/dump.md and does not change without notice: people grep it.
 */
@NullMarked
package io.blocktap.interposer.dump;

import org.jspecify.annotations.NullMarked;
