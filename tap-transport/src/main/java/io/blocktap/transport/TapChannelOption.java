package io.blocktap.transport;

import io.netty.channel.ChannelOption;

/**
 * Options of tap server channels, for {@code ServerBootstrap.option}.
 *
 * @param <T> the value's type
 */
public final class TapChannelOption<T> extends ChannelOption<T> {
    /** Most frontends at a time; more are refused. Default 256. */
    public static final ChannelOption<Integer> MAX_SESSIONS = valueOf("io.blocktap.MAX_SESSIONS");

    /** How long a frontend may take for its hand-shake, in milliseconds. Default 10000. */
    public static final ChannelOption<Integer> HANDSHAKE_TIMEOUT_MILLIS =
            valueOf("io.blocktap.HANDSHAKE_TIMEOUT_MILLIS");

    @SuppressWarnings("deprecation")
    private TapChannelOption() {
        super(null);
    }
}
