package io.blocktap.launcher;

import java.util.concurrent.Callable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** A command that only has others below it, and says so when it is called without one. */
abstract class CommandGroup implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public final CommonOptions common() {
        return common;
    }

    @Override
    public final Integer call() {
        var err = spec.commandLine().getErr();
        err.println("blocktap: say what to do; the commands are "
                + String.join(", ", spec.subcommands().keySet()));
        err.println("blocktap: see 'blocktap " + spec.name() + " --help'");
        return Main.USAGE;
    }
}
