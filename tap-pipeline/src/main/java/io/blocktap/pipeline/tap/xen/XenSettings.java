package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.config.ChainPolicy;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The options of a tap, checked.
 *
 * @param kind the backend directory that is served
 * @param maxQueues most rings of a disk that are offered
 * @param allow which chains {@code params} may hold
 * @param nbdSocket a unix socket on which the default disk is served by NBD, for a guest's firmware
 * @param statusFolder where the status file is kept, if anywhere
 * @param statsFolder where xentop looks for statistics, if they are to be written
 * @param stateFolder where the tables of requests in flight are kept
 */
record XenSettings(
        String kind,
        int maxQueues,
        ChainPolicy allow,
        Optional<Path> nbdSocket,
        Optional<Path> statusFolder,
        Optional<Path> statsFolder,
        Path stateFolder) {}
