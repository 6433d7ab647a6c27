package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.OptionBounds;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/**
 * What a socket tap allows its clients, and the options that say so: the same for all of them.
 *
 * @param maxConnections connections at a time
 * @param transmission what one connection may have
 */
public record SocketLimits(int maxConnections, TransmissionHandler.Limits transmission) {
    /** The bounds of a time that clients are given: no option may say less. */
    public static final String SHORTEST = "1ms";
    /** Nor more. */
    public static final String LONGEST = "60min";

    private static final int MOST = 65536;
    private static final String MAX_CONNECTIONS = "max-connections";
    private static final String MAX_REQUESTS = "max-requests";
    private static final String MAX_BYTES = "max-bytes";
    private static final String SEND_TIMEOUT = "send-timeout";

    /** The options. */
    public static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.optional(MAX_CONNECTIONS, OptionType.NUMBER, "most connections at a time, 1 to " + MOST)
                    .withDefault("256"),
            OptionSpec.optional(
                            MAX_REQUESTS, OptionType.NUMBER, "most requests in flight on a connection, 1 to " + MOST)
                    .withDefault("256"),
            OptionSpec.optional(
                            MAX_BYTES, OptionType.SIZE, "most request data in flight on a connection, in bytes, from 1")
                    .withDefault("64M"),
            OptionSpec.optional(
                            SEND_TIMEOUT,
                            OptionType.DURATION,
                            "how long a client may take nothing of its replies, or send nothing more of a WRITE, "
                                    + SHORTEST + " to " + LONGEST + "; a tenth of it while others wait for memory")
                    .withDefault("60s"));

    /** Reads the options. */
    public static SocketLimits of(OptionValues values) throws StageException {
        long maxBytes = values.sizeBytes(MAX_BYTES);
        if (maxBytes < 1) {
            throw new StageException(values.owner() + ": max-bytes=0: at least one byte, usually 64M");
        }
        return new SocketLimits(
                OptionBounds.number(values, MAX_CONNECTIONS, 1, MOST),
                new TransmissionHandler.Limits(
                        OptionBounds.number(values, MAX_REQUESTS, 1, MOST),
                        maxBytes,
                        OptionBounds.duration(values, SEND_TIMEOUT, SHORTEST, LONGEST)));
    }
}
