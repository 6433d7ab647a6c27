package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapCheck;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.ChainPolicy;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.netty.channel.EventLoop;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Opens {@link XenTap}s. */
public final class XenTapFactory implements TapFactory {
    static final String NAME = "xen";

    private static final String KIND = "kind";
    private static final String MAX_QUEUES = "max-queues";
    private static final String ALLOW = "allow";
    private static final String NBD = "nbd";
    private static final String STATUS = "status";
    private static final String STATS = "stats";
    private static final String VBD3 = "vbd3";
    private static final String OFF = "off";
    private static final String STATE = "state";
    private static final String DEFAULT_STATE = "/run/blocktap/xen";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String summary() {
        return "the disks of Xen guests: watches xenstore for devices of its kind, and is their backend";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                OptionSpec.choice(
                        KIND,
                        "tap",
                        List.of("tap", VBD3, "bench"),
                        "which backend directory is served: vbd3 is what xl of Xen 4.19 and later makes for backendtype=tap; bench is"
                                + " for blocktap's own frontend, no guest and no other server is concerned"),
                OptionSpec.optional(MAX_QUEUES, OptionType.NUMBER, "most rings of a disk that are offered, 1 to 64")
                        .withDefault("4"),
                OptionSpec.optional(
                        ALLOW,
                        OptionType.TEXT,
                        "chains that a toolstack may have opened, as stages with * in their options, between spaces:"
                                + " 'dump image:/srv/vm/*'; without it only names of configured disks"),
                OptionSpec.optional(
                        NBD,
                        OptionType.PATH,
                        "unix socket of an nbd tap of the same server, for the firmware of a guest that boots from the default"
                                + " disk"),
                OptionSpec.optional(
                                STATUS, OptionType.PATH, "folder of the file that 'blocktap xen list' reads; off: none")
                        .withDefault("/run/blocktap"),
                OptionSpec.optional(
                                STATS,
                                OptionType.PATH,
                                "with kind=vbd3: folder in which xentop looks for the counters of tapdisk; off: none")
                        .withDefault("/dev/shm"),
                OptionSpec.optional(
                                STATE,
                                OptionType.PATH,
                                "directory for what is in flight, which the next start needs after a kill -9")
                        .withDefault(DEFAULT_STATE));
    }

    @Override
    public void check(OptionValues values) throws StageException {
        long maxQueues = values.number(MAX_QUEUES);
        if (maxQueues < 1 || maxQueues > 64) {
            throw new StageException("xen: max-queues=" + maxQueues + "; it is 1 to 64");
        }
        settings(values);
    }

    @Override
    public boolean opensChains(OptionValues values) {
        return values.has(ALLOW);
    }

    @Override
    public List<TapCheck> examine(EventLoop loop) {
        return XenExamination.of(loop);
    }

    private static XenSettings settings(OptionValues values) throws StageException {
        ChainPolicy allow = ChainPolicy.NOTHING;
        if (values.has(ALLOW)) {
            try {
                allow = ChainPolicy.parse(values.text(ALLOW));
            } catch (ConfigException e) {
                throw new StageException("xen: allow: " + e.getMessage(), e);
            }
        }
        Path status = values.path(STATUS);
        Path stats = values.path(STATS);
        boolean forXentop =
                values.choice(KIND).equals(VBD3) && !stats.toString().equals(OFF);
        return new XenSettings(
                values.choice(KIND),
                (int) values.number(MAX_QUEUES),
                allow,
                values.has(NBD) ? Optional.of(values.path(NBD).toAbsolutePath()) : Optional.empty(),
                status.toString().equals(OFF) ? Optional.empty() : Optional.of(status),
                forXentop ? Optional.of(stats) : Optional.empty(),
                values.path(STATE));
    }

    @Override
    public Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) throws StageException {
        check(values);
        return XenTap.open(settings(values), disks, loops);
    }
}
