package io.blocktap.launcher;

import io.blocktap.launcher.load.LoadSession;
import io.blocktap.launcher.load.LoadSpec;
import io.blocktap.launcher.load.Target;
import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionParser;
import io.netty.channel.EventLoopGroup;
import java.io.IOException;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The second process of demo and bench: a client that drives a disk. Its arguments are made by {@link LoadSpec}. */
@Command(name = "drive", hidden = true, description = "The driving process of demo and bench.")
final class DriveCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Option(names = "--uri", required = true)
    private String uri = "";

    @Option(names = "--verified")
    private boolean verified;

    @Option(names = "--rw")
    private String pattern = "randread";

    @Option(names = "--bs")
    private int blockBytes = 4096;

    @Option(names = "--qd")
    private int queueDepth = 1;

    @Option(names = "--jobs")
    private int jobs = 1;

    @Option(names = "--warm-up")
    private String warmUp = "0s";

    @Option(names = "--time")
    private String time = "1s";

    @Option(names = "--range")
    private long rangeBytes;

    @Option(names = "--seed")
    private long seed = 1;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, StageException, FailedException {
        common.startLogging("warn");
        LoadSpec load = new LoadSpec(
                verified,
                pattern,
                blockBytes,
                queueDepth,
                jobs,
                OptionParser.duration(warmUp).toMillis(),
                OptionParser.duration(time).toMillis(),
                rangeBytes,
                seed);
        Target target = Target.parse(uri);
        EventLoopGroup group = EventLoops.create(EventLoopKind.EPOLL, 1);
        try {
            new LoadSession(group, spec.commandLine().getOut()).run(target, load);
        } catch (IOException e) {
            throw new FailedException(uri + ": " + e.getMessage(), e);
        } finally {
            group.shutdownGracefully(1, 1000, TimeUnit.MILLISECONDS).awaitUninterruptibly(2, TimeUnit.SECONDS);
        }
        return Main.OK;
    }
}
