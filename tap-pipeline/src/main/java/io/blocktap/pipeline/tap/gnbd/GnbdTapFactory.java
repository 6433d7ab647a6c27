package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.socket.TransmissionHandler;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Opens {@link GnbdTap}s. */
public final class GnbdTapFactory implements TapFactory {
    static final String NAME = "gnbd";

    private static final String TCP = "tcp";
    private static final String EXPORT = "export";
    private static final String WRITE_BACK = "write-back";
    private static final String KEEP_ALIVE = "keep-alive";
    private static final String MAX_CONNECTIONS = "max-connections";
    private static final String MAX_REQUESTS = "max-requests";
    private static final String MAX_BYTES = "max-bytes";
    private static final String CONTROL_TIMEOUT = "control-timeout";
    private static final String SEND_TIMEOUT = "send-timeout";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String summary() {
        return "a GNBD server (protocol 2) on a TCP port, for the cluster suite's kernel client, libgnbd and blocktap's own gnbd";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                OptionSpec.required(
                        TCP,
                        OptionType.HOST_PORT,
                        "the address and port to listen on, GNBD's own port is 14567; port 0 takes a free one"),
                OptionSpec.optional(
                        EXPORT,
                        OptionType.TEXT,
                        "the name that clients know the default disk by, at most 31 bytes without '/'; 'disk' if the disk"
                                + " has no name of its own"),
                OptionSpec.optional(
                                WRITE_BACK,
                                OptionType.SWITCH,
                                "answer WRITEs before they are on stable storage; clients have no FLUSH, so what was written"
                                        + " lately is lost in a crash")
                        .withDefault("off"),
                OptionSpec.optional(
                        KEEP_ALIVE,
                        OptionType.DURATION,
                        "time between two keep-alives on a session, 100ms to 60min; none are sent by default"),
                OptionSpec.optional(MAX_CONNECTIONS, OptionType.NUMBER, "most connections at a time, 1 to 65536")
                        .withDefault("256"),
                OptionSpec.optional(MAX_REQUESTS, OptionType.NUMBER, "most requests in flight on a session, 1 to 65536")
                        .withDefault("256"),
                OptionSpec.optional(
                                MAX_BYTES,
                                OptionType.SIZE,
                                "most request data in flight on a session, in bytes, from 1")
                        .withDefault("64M"),
                OptionSpec.optional(
                                CONTROL_TIMEOUT,
                                OptionType.DURATION,
                                "how long a client may take over a control request, 1ms to 60min")
                        .withDefault("10s"),
                OptionSpec.optional(
                                SEND_TIMEOUT,
                                OptionType.DURATION,
                                "how long a client may take nothing of its replies, or send nothing more of a WRITE, 1ms to"
                                        + " 60min; a tenth of it while others wait for memory")
                        .withDefault("60s"));
    }

    @Override
    public void check(OptionValues values) throws StageException {
        settings(values);
        String export = export(values);
        if (export != null) {
            GnbdExports.requireExportable(export);
        }
    }

    @Override
    public Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) throws StageException {
        return GnbdTap.open(values.hostPort(TCP), GnbdExports.of(disks, export(values)), settings(values), loops);
    }

    private static @Nullable String export(OptionValues values) {
        return values.has(EXPORT) ? values.text(EXPORT) : null;
    }

    private static GnbdSettings settings(OptionValues values) throws StageException {
        final int most = 65536;
        long maxBytes = values.sizeBytes(MAX_BYTES);
        if (maxBytes < 1) {
            throw new StageException("gnbd: max-bytes=0; at least one byte, usually 64M");
        }
        TransmissionHandler.Limits transmission = new TransmissionHandler.Limits(
                (int) bounded(MAX_REQUESTS, values.number(MAX_REQUESTS), most),
                maxBytes,
                time(values, SEND_TIMEOUT, 1));
        return new GnbdSettings(
                values.isOn(WRITE_BACK) ? GnbdSettings.Durability.WRITE_BACK : GnbdSettings.Durability.STABLE,
                (int) bounded(MAX_CONNECTIONS, values.number(MAX_CONNECTIONS), most),
                time(values, CONTROL_TIMEOUT, 1),
                values.has(KEEP_ALIVE) ? time(values, KEEP_ALIVE, 100) : Duration.ZERO,
                transmission);
    }

    private static Duration time(OptionValues values, String name, long leastMillis) throws StageException {
        Duration time = values.duration(name);
        if (time.toMillis() < leastMillis || time.compareTo(Duration.ofMinutes(60)) > 0) {
            throw new StageException(
                    "gnbd: " + name + " of " + time.toMillis() + " ms; it is " + leastMillis + "ms to 60min");
        }
        return time;
    }

    private static long bounded(String name, long value, int most) throws StageException {
        if (value < 1 || value > most) {
            throw new StageException("gnbd: " + name + "=" + value + "; it is 1 to " + most);
        }
        return value;
    }
}
