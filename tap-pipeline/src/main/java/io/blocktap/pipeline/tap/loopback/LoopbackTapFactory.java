package io.blocktap.pipeline.tap.loopback;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapCheck;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.channel.EventLoop;
import java.util.List;

/** Opens {@link LoopbackTap}s. */
public final class LoopbackTapFactory implements TapFactory {
    static final String NAME = "loopback";

    private static final String UNIX = "unix";
    private static final String MAX_SESSIONS = "max-sessions";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String summary() {
        return "a Xen block ring in shared memory, for a frontend in this process or another; needs no Xen and no root";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                OptionSpec.required(UNIX, OptionType.PATH, "the unix socket where frontends connect")
                        .first(),
                OptionSpec.optional(MAX_SESSIONS, OptionType.NUMBER, "most frontends at a time, 1 to 65536")
                        .withDefault("256"));
    }

    @Override
    public void check(OptionValues values) throws StageException {
        long maxSessions = values.number(MAX_SESSIONS);
        if (maxSessions < 1 || maxSessions > 65536) {
            throw new StageException("loopback: max-sessions=" + maxSessions + "; 1 to 65536");
        }
    }

    @Override
    public List<TapCheck> examine(EventLoop loop) {
        try {
            Libc.memoryFile("blocktap-examine", Libc.PAGE_BYTES).close();
            Libc.eventFd().close();
            return List.of(TapCheck.good("memfd, eventfd"));
        } catch (NativeException e) {
            return List.of(
                    TapCheck.bad(
                            "memfd, eventfd",
                            e.getMessage()
                                    + "; Linux 4.14 or later is needed, and a container must not forbid these calls (seccomp)"));
        }
    }

    @Override
    public Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) throws StageException {
        check(values);
        return LoopbackTap.open(values.path(UNIX), (int) values.number(MAX_SESSIONS), disks, loops);
    }
}
