package io.blocktap.pipeline;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Loggers that several classes of this package share. */
final class Logs {
    /** What stages do wrong. */
    static final Logger CHAIN = LoggerFactory.getLogger("io.blocktap.chain");
    /** Life of disks and sessions. */
    static final Logger DISK = LoggerFactory.getLogger("io.blocktap.disk");

    private Logs() {}
}
