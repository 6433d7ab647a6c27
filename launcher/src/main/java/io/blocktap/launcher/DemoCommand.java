package io.blocktap.launcher;

import io.blocktap.launcher.load.Content;
import io.blocktap.launcher.load.LoadProcess;
import io.blocktap.launcher.load.LoadSpec;
import io.blocktap.launcher.load.OpResult;
import io.blocktap.launcher.server.BlocktapServer;
import io.blocktap.launcher.server.DiskSpec;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import io.blocktap.pipeline.config.OptionParser;
import io.blocktap.pipeline.config.StageText;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Shows the whole path on any machine: a ring in shared memory, a chain, an image, a frontend in another process. */
@Command(
        name = "demo",
        sortOptions = false,
        description = {
            "Makes a disk image, serves it on a block ring in shared memory through 'dump' to 'image', and lets a second process"
                    + " write and read all of it, comparing every byte. Needs no root and no guest; leaves nothing behind.",
            ""
        },
        footer = {"", "Examples:", "  blocktap demo", "  blocktap demo --size 1G --qd 8", "  blocktap demo --json"})
final class DemoCommand implements Callable<Integer>, CommonOptions.Holder {
    private static final int CHECK_BYTES = 1 << 20;
    private static final int TRACE_LINES = 6;
    private static final long LEAST_SIZE = 1 << 20;
    private static final long MOST_SIZE = 64L << 30;

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Option(
            names = "--size",
            paramLabel = "SIZE",
            defaultValue = "64M",
            description = "Size of the image, 1M to 64G, a multiple of 4K. Default ${DEFAULT-VALUE}.")
    private String size = "64M";

    @Option(
            names = "--qd",
            paramLabel = "N",
            defaultValue = "32",
            description = "Requests in flight, 1 to 512. Default ${DEFAULT-VALUE}.")
    private int queueDepth = 32;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "1", description = "Seed of content and order.")
    private long seed = 1;

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, StageException, FailedException {
        common.startLogging("warn");
        long bytes = OptionParser.size(size);
        if (bytes < LEAST_SIZE || bytes > MOST_SIZE || bytes % 4096 != 0) {
            throw new ConfigException("--size " + size + ": 1M to 64G, a multiple of 4K");
        }
        if (queueDepth < 1 || queueDepth > 512) {
            throw new ConfigException("--qd " + queueDepth + ": it is 1 to 512");
        }
        try (WorkDirectory directory = new WorkDirectory()) {
            run(directory, bytes);
        }
        return Main.OK;
    }

    private void run(WorkDirectory directory, long bytes) throws ConfigException, StageException, FailedException {
        Path image = directory.resolve("disk.img");
        Path trace = directory.resolve("trace.txt");
        Path socket = directory.resolve("ring.sock");
        List<String> chain = List.of(
                "dump:file=" + StageText.escape(trace.toString()),
                "image:file=" + StageText.escape(image.toString()) + ",size=" + bytes);
        List<OpResult> results;
        try (BlocktapServer server = BlocktapServer.builder()
                .tap("loopback:unix=" + StageText.escape(socket.toString()))
                .disk(DiskSpec.ofWords("", "", chain))
                .start()) {
            results = drive(server.uris().get(0), bytes);
        }
        // The server is drained and closed: what the file holds now is what was flushed.
        checkImage(image, bytes);
        print(bytes, results, trace);
    }

    private List<OpResult> drive(String uri, long bytes) throws FailedException {
        LoadSpec load = new LoadSpec(true, "rw", 4096, queueDepth, 1, 0, 0, bytes, seed);
        try (Progress progress =
                new Progress(spec.commandLine().getErr(), "writing and verifying", Terminal.showsProgress())) {
            return LoadProcess.drive(Main.class.getName(), uri, load, LoadProcess.onProgress(progress::show));
        } catch (IOException e) {
            throw new FailedException("demo: " + e.getMessage(), e);
        }
    }

    private void checkImage(Path image, long bytes) throws FailedException {
        Content content = new Content(seed);
        ByteBuf buffer = Unpooled.directBuffer(CHECK_BYTES);
        try (FileChannel file = FileChannel.open(image)) {
            if (file.size() != bytes) {
                throw new FailedException("demo: the image has " + file.size() + " bytes instead of " + bytes);
            }
            for (long offset = 0; offset < bytes; offset += CHECK_BYTES) {
                int length = (int) Math.min(CHECK_BYTES, bytes - offset);
                buffer.clear();
                while (buffer.writerIndex() < length) {
                    int at = buffer.writerIndex();
                    if (buffer.writeBytes(file, offset + at, length - at) < 0) {
                        throw new FailedException("demo: the image ends at byte " + (offset + at));
                    }
                }
                int wrong = content.firstWrong(buffer, offset, length);
                if (wrong >= 0) {
                    throw new FailedException("demo: the image holds something else at byte " + (offset + wrong));
                }
            }
        } catch (IOException e) {
            throw new FailedException("demo: reading the image: " + e, e);
        } finally {
            buffer.release();
        }
    }

    private void print(long bytes, List<OpResult> results, Path trace) throws FailedException {
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            Map<String, Object> all = new LinkedHashMap<>();
            all.put("verified", true);
            all.put("imageBytes", bytes);
            all.put("queueDepth", queueDepth);
            all.put("results", results.stream().map(OpResult::toMap).toList());
            out.println(Json.pretty(all));
        } else {
            out.println("another process -> ring in shared memory -> dump -> image (" + size + "), " + queueDepth
                    + " requests in flight");
            out.println();
            Report.print(out, results);
            out.println();
            out.println("verified: every byte read back through the ring, and " + bytes
                    + " bytes of the image file itself");
            out.println();
            out.println("what dump saw, first lines:");
            firstLines(trace).forEach(line -> out.println("  " + line));
            out.println();
            out.println("next: ./blocktap serve --tap nbd:unix=/tmp/d.sock dump image:/tmp/disk.img,size=64M");
        }
        out.flush();
    }

    private static List<String> firstLines(Path trace) throws FailedException {
        try (Stream<String> lines = Files.lines(trace)) {
            return lines.limit(TRACE_LINES).toList();
        } catch (IOException e) {
            throw new FailedException("demo: reading the trace: " + e, e);
        }
    }
}
