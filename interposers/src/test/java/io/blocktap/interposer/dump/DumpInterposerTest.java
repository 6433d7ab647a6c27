package io.blocktap.interposer.dump;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.FROM_WORKERS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.SegmentList;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.testkit.AllocationProbe;
import io.blocktap.pipeline.testkit.InterposerContractTest;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** The contract, the form of the lines, and what happens when nobody takes them. */
final class DumpInterposerTest extends InterposerContractTest {
    private static final String TIME = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z";

    @TempDir
    private Path folder;

    private int files;

    @Override
    protected Stage makeInterposer() {
        return new DumpInterposer(
                DumpConfig.to(folder.resolve("contract" + files++).toString()));
    }

    private static Stage dump(Path file, String options) throws Exception {
        StageText word = StageText.parse("dump:" + StageText.escape(file.toString()) + options);
        return new DumpFactory().create(OptionValues.parse(word, DumpConfig.OPTIONS));
    }

    private static ReferenceDisk disk() {
        return new ReferenceDisk(1 << 20, AT_ONCE);
    }

    private static void reads(String line, String pattern) {
        assertThat(line).matches(pattern);
    }

    // ---- lines

    @Test
    void textHasALineForEachMessage() throws Exception {
        Path file = folder.resolve("lines");
        try (StageHarness harness = StageHarness.open(dump(file, ""), disk())) {
            TestClient client = harness.client();
            client.write(4096, new byte[512]);
            client.call(BlockOp.WRITE, BlockRequest.FUA, 0, 512, new byte[512]).ok();
            client.call(
                            BlockOp.WRITE_ZEROES,
                            BlockRequest.KEEP_ALLOCATED | BlockRequest.FAST_ONLY,
                            0,
                            8192,
                            new byte[0])
                    .ok();
            client.call(BlockOp.READ, 1 << 20, 512).with(BlockStatus.OUT_OF_RANGE); // never gets to the stages
        }

        List<String> lines = Files.readAllLines(file);
        assertThat(lines).hasSize(11);
        reads(
                lines.get(0),
                TIME + " \\[test:1!connect] tap=test peer=\"test\" size=1048576 block=512"
                        + " features=FLUSH\\+FUA\\+DISCARD\\+WRITE_ZEROES\\+FAST_ZERO\\+MULTI_CONNECTION");
        reads(lines.get(1), TIME + " \\[test:1#1<WRITE] offset=4096 length=512");
        reads(lines.get(2), TIME + " \\[test:1#1>WRITE] offset=4096 length=512 status=OK latency=\\d+\\.\\d{3}us");
        reads(lines.get(3), TIME + " \\[test:1#2<WRITE] offset=0 length=512 fua");
        reads(lines.get(5), TIME + " \\[test:1#3<WRITE_ZEROES] offset=0 length=8192 keep-allocated fast-only");
        reads(lines.get(7), TIME + " \\[test!shutdown]");
        reads(lines.get(8), TIME + " \\[test:0#1<FLUSH] offset=0 length=0");
        reads(lines.get(9), TIME + " \\[test:0#1>FLUSH] offset=0 length=0 status=OK latency=\\d+\\.\\d{3}us");
        reads(lines.get(10), TIME + " \\[test:1!disconnect]");
    }

    @Test
    void jsonHasStableKeys() throws Exception {
        Path file = folder.resolve("lines.json");
        ReferenceDisk below = disk();
        try (StageHarness harness = StageHarness.open(dump(file, ",format=json,hex=4"), below)) {
            harness.client().write(8, new byte[] {0x00, 0x7f, (byte) 0x80, (byte) 0xff, 1});
            below.failNext(BlockOp.READ, BlockStatus.IO_ERROR);
            harness.client().call(BlockOp.READ, 0, 9).with(BlockStatus.IO_ERROR);
        }

        List<String> lines = Files.readAllLines(file);
        String begin = "\\{\"time\":\"" + TIME + "\",\"event\":\"";
        String its = "\",\"disk\":\"test\",\"session\":1,\"stream\":0,\"number\":";
        reads(
                lines.get(0),
                begin + "control\",\"disk\":\"test\",\"session\":1,\"name\":\"connect\",\"tap\":\"test\","
                        + "\"peer\":\"test\",\"size\":1048576,\"block\":512,\"features\":\\[\"FLUSH\",.*\"]}");
        reads(
                lines.get(1),
                begin + "request" + its
                        + "1,\"op\":\"WRITE\",\"offset\":8,\"length\":5,\"fua\":false,\"data\":\"007f80ff\"}");
        reads(
                lines.get(2),
                begin + "response" + its
                        + "1,\"op\":\"WRITE\",\"offset\":8,\"length\":5,\"status\":\"OK\",\"latency_ns\":\\d+}");
        reads(
                lines.get(4),
                begin + "response" + its
                        + "2,\"op\":\"READ\",\"offset\":0,\"length\":9,\"status\":\"IO_ERROR\",\"latency_ns\":\\d+}");
    }

    @Test
    void showsSegmentsIfTheTapKnowsThem() throws Exception {
        Path file = folder.resolve("lines");
        try (StageHarness harness = StageHarness.open(new SegmentsFromNowhere(), dump(file, ""), disk())) {
            harness.client().read(0, 5120);
        }

        assertThat(Files.readAllLines(file).get(1))
                .endsWith("[test:1#1<READ] offset=0 length=5120 segments=2 (8:0-7 -1:6-7)");
    }

    /** Does what the codec of a ring does. */
    private static final class SegmentsFromNowhere implements Stage, RequestHook {
        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below;
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            SegmentList list = request.newSegments();
            list.add(8, 0, 7);
            list.add(-1, 6, 7);
            return Verdict.PASS;
        }

        @Override
        public void close() {
            // nothing
        }
    }

    @Test
    void showsDataOfWritesAtTheRequestAndOfReadsAtTheResponse() throws Exception {
        Path file = folder.resolve("lines");
        byte[] data = new byte[20];
        for (int i = 0; i < data.length; i++) {
            data[i] = (byte) (0xf0 + i);
        }
        try (StageHarness harness = StageHarness.open(dump(file, ",hex=11"), disk())) {
            harness.client().write(3, data);
            harness.client().read(3, 20);
            harness.client().read(3, 2);
        }

        List<String> shown = Files.readAllLines(file).subList(1, 7);
        assertThat(shown.get(0)).endsWith(" length=20 data=f0f1f2f3f4f5f6f7f8f9fa");
        assertThat(shown.get(1)).doesNotContain("data=");
        assertThat(shown.get(2)).doesNotContain("data=");
        assertThat(shown.get(3)).endsWith("us data=f0f1f2f3f4f5f6f7f8f9fa");
        assertThat(shown.get(5)).endsWith("us data=f0f1");
    }

    @Test
    void showsOnlyTheOperationsAndTheRangeAskedFor() throws Exception {
        Path file = folder.resolve("lines");
        try (StageHarness harness = StageHarness.open(dump(file, ",ops=write+discard,range=4K-8K"), disk())) {
            TestClient client = harness.client();
            client.write(4095, new byte[1]);
            client.write(4095, new byte[2]);
            client.write(8191, new byte[1]);
            client.write(8192, new byte[1]);
            client.read(5000, 10);
            client.discard(0, 1 << 20);
            client.flush();
        }

        assertThat(Files.readAllLines(file).stream()
                        .filter(line -> line.contains("<"))
                        .map(line -> line.substring(line.indexOf('<'))))
                .containsExactly(
                        "<WRITE] offset=4095 length=2",
                        "<WRITE] offset=8191 length=1",
                        "<DISCARD] offset=0 length=1048576");
    }

    @Test
    void appendsToAFileThatIsThere() throws Exception {
        Path file = folder.resolve("lines");
        Files.writeString(file, "before\n");
        try (StageHarness harness = StageHarness.open(dump(file, ""), disk())) {
            harness.client().flush();
        }

        assertThat(Files.readAllLines(file)).startsWith("before").hasSizeGreaterThan(4);
    }

    // ---- sinks that do not work

    @Test
    void aSlowSinkLosesLinesAndSaysHowMany() throws Exception {
        Path pipe = folder.resolve("pipe");
        assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor())
                .isZero();
        Process reader = new ProcessBuilder("sh", "-c", "exec 3<" + pipe + "; read go; cat <&3").start();
        int requests = 20_000;
        try (StageHarness harness =
                StageHarness.openOn(2, dump(pipe, ",buffer=64K"), new ReferenceDisk(1 << 20, AT_ONCE))) {
            TestClient second = harness.connect();
            List<java.util.concurrent.CompletableFuture<?>> replies = new ArrayList<>();
            for (int i = 0; i < requests; i++) {
                TestClient client = i % 2 == 0 ? harness.client() : second;
                replies.add(client.send(BlockOp.READ, 0, 0, 512, new byte[0]));
            }
            replies.forEach(TestClient::await); // nobody has read a line yet

            reader.getOutputStream().write('\n');
            reader.getOutputStream().flush();
        }

        long shown = 0;
        long dropped = 0;
        Pattern droppedLine = Pattern.compile(TIME + " \\[test] dropped (\\d+) lines?");
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(reader.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line; (line = lines.readLine()) != null; ) {
                Matcher matcher = droppedLine.matcher(line);
                if (matcher.matches()) {
                    dropped += Long.parseLong(matcher.group(1));
                } else {
                    reads(line, TIME + " \\[test.*[]us\"NY].*");
                    shown++;
                }
            }
        }
        assertThat(reader.waitFor()).isZero();
        assertThat(dropped).as("dropped").isPositive();
        // 2 connects and disconnects, the shutdown, the last flush
        assertThat(shown + dropped).isEqualTo(2L * requests + 4 + 1 + 2);
    }

    @Test
    void aFullDeviceIsSaidOnceAndDisturbsNothing() throws Exception {
        Logger logger = (Logger) LoggerFactory.getLogger(DumpInterposer.class);
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        logger.addAppender(log);
        try (StageHarness harness = StageHarness.open(dump(Path.of("/dev/full"), ""), disk())) {
            for (int i = 0; i < 50; i++) {
                harness.client().write(i, new byte[] {(byte) i});
            }
            Awaitility.await().until(() -> !List.copyOf(log.list).isEmpty());
            for (int i = 0; i < 50; i++) {
                assertThat(harness.client().read(i, 1)).containsExactly(i);
            }
        } finally {
            logger.detachAppender(log);
        }

        assertThat(log.list.stream().map(ILoggingEvent::getFormattedMessage))
                .hasSize(2)
                .anyMatch(line -> line.contains("test/dumpinterposer") && line.contains("No space left on device"))
                .anyMatch(line -> line.contains("dropped 205 lines in all: the sink failed"));
    }

    @Test
    void aFileThatCanNotBeOpenedIsNamed() throws Exception {
        Stage dump = dump(folder.resolve("no/such/folder"), "");

        assertThatThrownBy(() -> StageHarness.open(dump, disk()))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("no/such/folder");
    }

    // ---- options

    @Test
    void refusesWrongOptionsWithWhatWouldBeRight() {
        Path file = folder.resolve("x");
        for (String[] wrong : new String[][] {
            {",ops=red", "did you mean read?"},
            {",ops=", "the operations are read, write"},
            {",range=5", "for example 1M-2M"},
            {",range=2M-1M", "START before END"},
            {",range=a-b", "not a size"},
            {",hex=5000", "0 to 4096"},
            {",hex=-1", "0 to 4096"},
            {",buffer=1K", "64K to 1G"},
            {",format=xml", "one of text, json"}
        }) {
            assertThatThrownBy(() -> dump(file, wrong[0])).as(wrong[0]).hasMessageContaining(wrong[1]);
        }
        assertThat(Stream.of(file)).noneMatch(Files::exists);
    }

    // ---- cost

    @Test
    void allocatesNothingOnTheEventLoop() throws Exception {
        Path file = Path.of("/dev/null");
        try (StageHarness harness = StageHarness.open(dump(file, ",hex=64"), new ReferenceDisk(8 << 20, AT_ONCE))) {
            for (BlockOp op : List.of(BlockOp.READ, BlockOp.WRITE)) {
                AllocationProbe.Cost cost = AllocationProbe.measure(harness, op);

                assertThat(cost.bytes()).as("%s", op).isLessThan(1.0);
            }
        }
    }

    @Test
    void survivesRequestsFromWorkers() throws Exception {
        Path file = folder.resolve("lines");
        try (StageHarness harness = StageHarness.open(dump(file, ""), new ReferenceDisk(1 << 20, FROM_WORKERS))) {
            for (int i = 0; i < 100; i++) {
                harness.client().read(i, 1);
            }
        }

        assertThat(Files.readAllLines(file).stream().filter(line -> line.contains(">READ]")))
                .hasSize(100);
    }
}
