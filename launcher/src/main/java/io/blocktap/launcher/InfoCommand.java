package io.blocktap.launcher;

import io.blocktap.launcher.image.ImageInfo;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import io.blocktap.pipeline.qcow2.Snapshot;
import io.blocktap.transport.Printable;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Says what an image file is. */
@Command(
        name = "info",
        description = {
            "Says what an image file is: format, size, how much of it is allocated, and what it is based on.",
            "",
            "It may be in use meanwhile. The names in JSON are those of 'qemu-img info --output=json'."
        },
        footer = {
            "",
            "Examples:",
            "  blocktap info overlay.qcow2",
            "  blocktap info --json --backing-chain overlay.qcow2"
        })
final class InfoCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Parameters(paramLabel = "FILE", description = "The image file.")
    private String file = "";

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Option(names = "--backing-chain", description = "With --json: an array of the image and all that it is based on.")
    private boolean backingChain;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws FailedException, ConfigException {
        common.startLogging("warn");
        PrintWriter out = spec.commandLine().getOut();
        try {
            if (json && !backingChain) {
                out.println(Json.pretty(ImageInfo.of(file, new HashSet<>()).fields()));
            } else if (json) {
                List<Object> all = new ArrayList<>();
                for (ImageInfo each : ImageInfo.chainOf(file)) {
                    all.add(each.fields());
                }
                out.println(Json.pretty(all));
            } else {
                print(out, file);
            }
        } catch (StageException e) {
            throw new FailedException("info: " + Printable.whole(String.valueOf(e.getMessage())), e);
        }
        out.flush();
        return 0;
    }

    /** What is above something that can't be read is printed all the same. */
    private static void print(PrintWriter out, String top) throws StageException {
        String indent = "";
        Set<Path> seen = new HashSet<>();
        for (ImageInfo info = ImageInfo.of(top, seen); info != null; info = info.below(seen)) {
            out.printf("%s%s%n", indent, Printable.of(info.name()));
            out.printf("%s  format     %s%s%n", indent, info.format(), clusters(info));
            out.printf("%s  size       %d bytes%n", indent, info.virtualBytes());
            out.printf("%s  allocated  %d bytes%n", indent, info.allocatedBytes());
            for (Snapshot snapshot : info.snapshots()) {
                out.printf(
                        "%s  snapshot   %s '%s', %s, %s bytes of machine state%n",
                        indent,
                        Printable.of(snapshot.id()),
                        Printable.of(snapshot.name()),
                        snapshot.date(),
                        Long.toUnsignedString(snapshot.stateBytes()));
            }
            String refusal = info.refusal();
            if (refusal != null) {
                out.printf("%s  refused    %s%n", indent, Printable.whole(refusal));
            }
            if (info.header() != null && info.header().backingFile() != null) {
                out.printf(
                        "%s  based on   %s%n",
                        indent, Printable.of(info.header().backingFile()));
                indent += "  ";
            }
            out.flush();
        }
    }

    private static String clusters(ImageInfo info) {
        return info.header() == null
                ? ""
                : " version " + info.header().version() + ", clusters of "
                        + (1 << info.header().clusterBits()) + " bytes";
    }
}
