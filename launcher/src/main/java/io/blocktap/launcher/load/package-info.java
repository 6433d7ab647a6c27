/**
 * Drives disks and measures them: block clients for the taps' protocols, workloads, latency histograms. Runs in a process of its own, so that the
 * server is measured alone, and says what it sees in lines of text.
 *
 * <p>Start at {@link io.blocktap.launcher.load.LoadSession} (the driving side) and {@link io.blocktap.launcher.load.LoadProcess} (who
 * starts it). Threads: all clients of a process run on one event loop; nothing is allocated for a request.
 */
@NullMarked
package io.blocktap.launcher.load;

import org.jspecify.annotations.NullMarked;
