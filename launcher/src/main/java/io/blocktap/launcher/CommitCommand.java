package io.blocktap.launcher;

import io.blocktap.launcher.image.CommitSession;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Writes an overlay back into its base. */
@Command(
        name = "commit",
        description = {
            "Writes what an overlay has into its backing file, and takes it out of the overlay.",
            "",
            "The disk reads the same at every moment, so it can be stopped at any time, even by a loss of power; run it again to go on. Neither file may be in use. Other overlays on the same base "
                    + "are worthless afterwards."
        },
        footer = {"", "Examples:", "  blocktap commit overlay.qcow2", "  blocktap commit --json overlay.qcow2"})
final class CommitCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Parameters(paramLabel = "OVERLAY", description = "The qcow2 file; its backing file is written.")
    private Path overlay = Path.of("");

    @Option(names = "--json", description = "Print the result as JSON.")
    private boolean json;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws FailedException, ConfigException {
        common.startLogging("warn");
        PrintWriter err = spec.commandLine().getErr();
        AtomicReference<@Nullable String> signal = new AtomicReference<>();
        Signals.onEnd(signal::set);
        CommitSession.Result result;
        Path base;
        try (CommitSession session = CommitSession.open(overlay);
                Progress progress = new Progress(err, "committing", Terminal.showsProgress())) {
            base = session.base();
            result = session.run(progress::show, () -> signal.get() != null);
        } catch (StageException e) {
            throw new FailedException("commit: " + e.getMessage(), e);
        } catch (IOException e) {
            throw new FailedException(
                    "commit: " + e.getMessage() + "; nothing is lost, run it again when that is mended", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new FailedException("commit: interrupted; nothing is lost, run it again to go on", e);
        }
        if (!result.isDone()) {
            throw new FailedException("commit: stopped by " + signal.get() + " after " + result.copiedBytes()
                    + " bytes; nothing is lost, run it again to go on");
        }
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            Map<String, Object> fields = new LinkedHashMap<>();
            fields.put("overlay", overlay.toString());
            fields.put("base", base.toString());
            fields.put("copied-bytes", result.copiedBytes());
            out.println(Json.pretty(fields));
        } else {
            out.printf(
                    result.copiedBytes() == 0
                            ? "committed: %2$s had nothing that is not in %3$s%n"
                            : "committed: %d bytes of %s are in %s now%n",
                    result.copiedBytes(),
                    overlay,
                    base);
        }
        out.flush();
        return 0;
    }
}
