package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Opens {@link XenTap}s. */
public final class XenTapFactory implements TapFactory {
    static final String NAME = "xen";

    private static final String KIND = "kind";
    private static final String MAX_QUEUES = "max-queues";
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
                        List.of("tap", "vbd3"),
                        "which backend directory is served: vbd3 is what xl of Xen 4.19 and later makes for backendtype=tap"),
                OptionSpec.optional(MAX_QUEUES, OptionType.NUMBER, "most rings of a disk that are offered, 1 to 64")
                        .withDefault("4"),
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
    }

    @Override
    public Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) throws StageException {
        check(values);
        return XenTap.open(values.choice(KIND), (int) values.number(MAX_QUEUES), values.path(STATE), disks, loops);
    }
}
