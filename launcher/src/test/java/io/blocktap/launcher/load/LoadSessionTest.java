package io.blocktap.launcher.load;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.launcher.TestStages;
import io.blocktap.launcher.server.BlocktapServer;
import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import io.blocktap.launcher.server.ServerSettings;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.StageException;
import io.netty.channel.EventLoopGroup;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The driving side against real servers in this process: it finds wrong content, failed requests and lost connections. */
final class LoadSessionTest {
    @TempDir
    private Path directory;

    private EventLoopGroup group;
    private StringWriter lines;

    @BeforeEach
    void makeLoops() throws Exception {
        group = EventLoops.create(EventLoopKind.EPOLL, 1);
        lines = new StringWriter();
    }

    @AfterEach
    void endLoops() {
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(5, TimeUnit.SECONDS);
    }

    private BlocktapServer serve(String tap, String chain) throws Exception {
        return BlocktapServer.builder()
                .modules(new TestStages())
                .tap(tap.replace("SOCKET", directory.resolve("s.sock").toString()))
                .disk("", chain)
                .start();
    }

    private List<OpResult> drive(BlocktapServer server, LoadSpec spec) throws Exception {
        new LoadSession(group, new PrintWriter(lines, true))
                .run(Target.parse(server.uris().get(0)), spec);
        return lines.toString()
                .lines()
                .filter(line -> line.startsWith("result "))
                .map(line -> OpResult.parse(line.substring("result ".length())))
                .toList();
    }

    private static LoadSpec verified() {
        return new LoadSpec(true, "rw", 4096, 16, 1, 0, 0, 0, 7);
    }

    private static LoadSpec timed(String pattern, int blockBytes, int jobs) {
        return new LoadSpec(false, pattern, blockBytes, 8, jobs, 20, 700, 0, 7);
    }

    @ParameterizedTest
    @ValueSource(strings = {"loopback:SOCKET", "nbd:unix=SOCKET", "nbd:tcp=127.0.0.1:0"})
    void verifiesADiskThatIsRight(String tap) throws Exception {
        try (BlocktapServer server = serve(tap, "count memory:3M")) {
            List<OpResult> results = drive(server, verified());

            assertThat(results).extracting(OpResult::op).containsExactly(BlockOp.READ, BlockOp.WRITE, BlockOp.FLUSH);
            assertThat(results).extracting(OpResult::bytes).containsExactly(3L << 20, 3L << 20, 0L);
            assertThat(results).extracting(OpResult::errors).containsOnly(0L);
            assertThat(lines.toString()).startsWith("begin\n").contains("end\n", "progress 1.0000\n");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"loopback:SOCKET", "nbd:unix=SOCKET"})
    void findsWrongContent(String tap) throws Exception {
        try (BlocktapServer server = serve(tap, "flip memory:1M")) {
            assertThatThrownBy(() -> drive(server, verified()))
                    .isInstanceOf(IOException.class)
                    .hasMessageStartingWith(
                            "wrong content in 1 reads, first at byte " + TestStages.FLIPPED_BYTE / 8 * 8 + " in READ ");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "loopback:SOCKET,randread,4096,1",
        "nbd:unix=SOCKET,randrw,4096,2",
        "nbd:unix=SOCKET,write,65536,1",
        "loopback:SOCKET,rw,65536,2"
    })
    void measuresForATime(String tap, String pattern, int blockBytes, int jobs) throws Exception {
        try (BlocktapServer server = serve(tap, "memory:4M")) {
            List<OpResult> results = drive(server, timed(pattern, blockBytes, jobs));

            assertThat(results).isNotEmpty().allSatisfy(result -> {
                assertThat(result.errors()).isZero();
                assertThat(result.requests()).isPositive();
                assertThat(result.bytes()).isEqualTo(result.requests() * blockBytes);
                assertThat(result.p50Micros()).isPositive().isLessThanOrEqualTo(result.p999Micros());
                assertThat(result.seconds()).isBetween(0.01, 5.0);
            });
            assertThat(lines.toString()).containsSubsequence("begin\n", "end\n", "result ");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"loopback:SOCKET", "nbd:unix=SOCKET"})
    void failedRequestsAreAFailure(String tap) throws Exception {
        try (BlocktapServer server = serve(tap, "no-flush memory:1M")) {
            assertThatThrownBy(() -> drive(server, verified())).hasMessage("1 requests failed");
        } catch (StageException e) {
            assertThat(e).hasMessageContaining("the last flush failed");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "loopback:unix=/nonexistent/s.sock,/nonexistent/s.sock",
        "nbd+unix:///?socket=/nonexistent/s.sock,nobody listens on /nonexistent/s.sock: no such socket",
        "nbd://127.0.0.1:1,nobody listens on 127.0.0.1:1: "
    })
    void tellsThatNobodyIsThere(String uri, String expected) {
        assertThatThrownBy(() -> new LoadSession(group, new PrintWriter(lines)).run(Target.parse(uri), verified()))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(expected);
    }

    @Test
    void tellsWhyAnExportIsRefused() throws Exception {
        try (BlocktapServer server = serve("nbd:unix=SOCKET", "null")) {
            Target other = new Target(
                    Target.Protocol.NBD_UNIX, directory.resolve("s.sock").toString(), "other");

            assertThatThrownBy(() -> new LoadSession(group, new PrintWriter(lines)).run(other, verified()))
                    .isInstanceOf(IOException.class)
                    .hasMessageStartingWith("the server refuses export 'other'");
            assertThat(server.disks()).hasSize(1);
        }
    }

    @Test
    void tellsThatNothingWasAnswered() throws Exception {
        try (BlocktapServer server = serve("loopback:SOCKET", "late memory:1M")) {
            LoadSpec tooShort = new LoadSpec(false, "randread", 4096, 1, 1, 0, 50, 0, 7);

            assertThatThrownBy(() -> drive(server, tooShort)).hasMessageStartingWith("no request ended while it was");
        }
    }

    @Test
    void givesUpOnAServerThatLosesRequests() throws Exception {
        BlocktapServer server = BlocktapServer.builder()
                .modules(new TestStages())
                .settings(ServerSettings.DEFAULT.with("", ServerSettings.DRAIN_TIMEOUT, "10ms"))
                .tap("loopback:" + directory.resolve("s.sock"))
                .disk("", "stuck memory:1M")
                .start();
        LoadSession session = new LoadSession(group, new PrintWriter(lines), 1);

        assertThatThrownBy(() -> session.run(Target.parse(server.uris().get(0)), timed("randread", 4096, 1)))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("nothing is answered any more; 8 requests are in flight");
        assertThatThrownBy(server::close)
                .isInstanceOf(StageException.class)
                .hasMessageStartingWith("not drained within 10ms: ");
    }

    @Test
    void refusesToDriveADiskThatIsTooSmall() throws Exception {
        try (BlocktapServer server = serve("nbd:unix=SOCKET", "memory:64K")) {
            assertThatThrownBy(() -> drive(server, timed("randread", 131072, 1)))
                    .hasMessage("the disk has 65536 bytes, less than one block of 131072");
        }
    }
}
