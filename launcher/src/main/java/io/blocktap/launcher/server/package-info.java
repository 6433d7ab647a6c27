/**
 * Assembles a server: modules and plugins into a catalogue, words into chains, chains into disks, disks behind taps.
 *
 * <p>Start at {@link io.blocktap.launcher.server.BlocktapServer}, which programs embed and {@code blocktap serve} runs, and {@link
 * io.blocktap.launcher.server.DisksModule}, in which users compose chains by Guice. Nothing here is on the path of a request.
 *
 * <p>Threads: starting and closing wait, so not on an event loop.
 */
@NullMarked
package io.blocktap.launcher.server;

import org.jspecify.annotations.NullMarked;
