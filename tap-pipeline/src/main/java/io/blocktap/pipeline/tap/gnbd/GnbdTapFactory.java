package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.OptionBounds;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.socket.SocketLimits;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Opens {@link GnbdTap}s. */
public final class GnbdTapFactory implements TapFactory {
    static final String NAME = "gnbd";

    private static final String TCP = "tcp";
    private static final String EXPORT = "export";
    private static final String WRITE_BACK = "write-back";
    private static final String KEEP_ALIVE = "keep-alive";
    private static final String CONTROL_TIMEOUT = "control-timeout";

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
        List<OptionSpec> own = List.of(
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
                OptionSpec.optional(
                                CONTROL_TIMEOUT,
                                OptionType.DURATION,
                                "how long a client may take over a control request, 1ms to 60min")
                        .withDefault("10s"));
        return Stream.concat(own.stream(), SocketLimits.OPTIONS.stream()).toList();
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
        return new GnbdSettings(
                values.isOn(WRITE_BACK) ? GnbdSettings.Durability.WRITE_BACK : GnbdSettings.Durability.STABLE,
                OptionBounds.duration(values, CONTROL_TIMEOUT, SocketLimits.SHORTEST, SocketLimits.LONGEST),
                values.has(KEEP_ALIVE)
                        ? OptionBounds.duration(values, KEEP_ALIVE, "100ms", SocketLimits.LONGEST)
                        : Duration.ZERO,
                SocketLimits.of(values));
    }
}
