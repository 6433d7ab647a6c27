package io.blocktap.terminator.gnbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.BackendState;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.ControlHook;
import io.blocktap.pipeline.ControlMessage;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdExport;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a server may do that ours does not, and how the terminator goes on. */
@Timeout(60)
final class GnbdTerminatorTest {
    private static final int MAX = Gnbd.MAX_DATA_BYTES;

    private ScriptedServer server;

    @BeforeEach
    void start() throws Exception {
        server = new ScriptedServer();
    }

    @AfterEach
    void stop() throws Exception {
        assertThat(server.seen).doesNotContain("WRONG MAGIC", "OUT OF BOUNDS", "DATA BEFORE THE LOGIN REPLY");
        server.close();
    }

    private StageHarness open(String options) throws Exception {
        return StageHarness.open(Terminators.make(server.port(), ",reconnect=100ms" + options));
    }

    private static byte[] random(int length) {
        byte[] data = new byte[length];
        new Random(length).nextBytes(data);
        return data;
    }

    private static CompletableFuture<Reply> write(StageHarness harness, long offset, byte[] data) {
        return harness.client().send(BlockOp.WRITE, 0, offset, data.length, data);
    }

    private static CompletableFuture<Reply> read(StageHarness harness, long offset, int length) {
        return harness.client().send(BlockOp.READ, 0, offset, length, new byte[0]);
    }

    private void awaitSeen(String what, int times) {
        await(what).until(() -> server.seen.stream().filter(what::equals).count() >= times);
    }

    private static void awaitState(StageHarness harness, BackendState state) {
        await(state.word())
                .until(() -> harness.disk().backends().values().stream().anyMatch(news -> news.state() == state));
    }

    /** Keeps requests and answers none of them. */
    private static ScriptedServer.Behaviour keepIn(List<ScriptedServer.Request> kept) {
        return kept::add;
    }

    // ---- the way in

    @Test
    void asksForTheExportsEndsOldSessionsLogsInAndTakesALeave() throws Exception {
        open("").close();

        assertThat(server.seen).containsExactly("NAMES", "KILL disk", "LOGIN disk", "PING 0+0", "DISC 0+0");
    }

    @Test
    void hasTheServersGeometry() throws Exception {
        server.exports = List.of(new GnbdExport("other", 0, true), new GnbdExport("disk", 60, true));
        try (StageHarness harness = open("")) {
            Geometry geometry = harness.disk().geometry();

            assertThat(geometry.sizeBytes()).isEqualTo(1 << 20);
            assertThat(geometry.minimumIoBytes())
                    .as("an export with a timeout is used with O_DIRECT")
                    .isEqualTo(512);
            assertThat(geometry.has(Feature.READ_ONLY)).isTrue();
        }
    }

    @Test
    void readsTheListOfABigEndianServer() throws Exception {
        ByteBuffer names = ByteBuffer.allocate(8 + GnbdExport.BYTES);
        names.putInt(0).putInt(GnbdExport.BYTES).putInt(60).putShort((short) 1);
        names.put("disk".getBytes(java.nio.charset.StandardCharsets.ISO_8859_1));
        server.namesReply = names.array();
        try (StageHarness harness = open("")) {
            assertThat(harness.disk().geometry().has(Feature.READ_ONLY)).isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, the node is fenced",
        "19, there is no such export now",
        "22, it speaks version 2 of the protocol",
        "13, error 13"
    })
    void saysWhyALoginWasRefused(int errno, String reason) {
        server.loginErrno = errno;

        assertThatThrownBy(() -> open(""))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("gnbd: 127.0.0.1:" + server.port() + ": the server refuses the login")
                .hasMessageContaining(reason);
    }

    @Test
    void aLoginThatEndsAtOnceIsNone() {
        server.endsAfterLogin = true;

        assertThatThrownBy(() -> open("")).hasMessageContaining("the server ends the session as soon as it has begun");
    }

    @Test
    void namesTheExportsThatThereAre() {
        server.exports = List.of(new GnbdExport("a", 0, false), new GnbdExport("b\n", 0, false));

        assertThatThrownBy(() -> open("")).hasMessageContaining("it has no export 'disk'; it has 'a', 'b");
    }

    @Test
    void doesNotReadAListWithoutEnd() {
        server.namesReply =
                ByteBuffer.allocate(8).putInt(0).putInt(Integer.MAX_VALUE).array();

        assertThatThrownBy(() -> open("")).hasMessageContaining("its list of exports is too long");
    }

    @Test
    void twoDisksOfOneProcessAreNotTheSameClient() throws Exception {
        try (StageHarness harness = open("")) {
            assertThatThrownBy(() -> open("")).hasMessageContaining("give this one a node=NAME of its own");
            assertThatThrownBy(() -> StageHarness.open(Terminators.make("localhost", server.port(), "")))
                    .hasMessageContaining("give this one a node=NAME of its own");
            open(",node=other").close();
            harness.client().write(0, random(512));
        }
        open("").close(); // given back
    }

    @Test
    void aPortBehindTheHostIsToldHowToBeWritten() {
        assertThatThrownBy(() -> Terminators.make("127.0.0.1:14567", 1, ""))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("host=127.0.0.1,port=14567");
    }

    // ---- requests

    @ParameterizedTest
    @CsvSource({"1", "3"})
    void cutsLargeRequestsAndSendsThePartsTogether(int connections) throws Exception {
        byte[] data = random(3 * MAX + 700);
        List<ScriptedServer.Request> kept = new CopyOnWriteArrayList<>();
        try (StageHarness harness = open(",connections=" + connections)) {
            server.behaviour = keepIn(kept);
            CompletableFuture<Reply> written = write(harness, 100, data);
            await().until(() -> kept.size() == 4); // none was answered
            server.behaviour = server::serve;
            for (ScriptedServer.Request request : kept) {
                server.serve(request);
            }

            TestClient.await(written).ok();
            assertThat(harness.client().read(100, data.length)).isEqualTo(data);
            assertThat(Arrays.copyOfRange(server.content, 100, 100 + data.length))
                    .isEqualTo(data);
        }
    }

    @Test
    void takesAnswersInAnyOrder() throws Exception {
        List<ScriptedServer.Request> kept = new CopyOnWriteArrayList<>();
        new Random(1).nextBytes(server.content);
        try (StageHarness harness = open("")) {
            server.behaviour = keepIn(kept);
            List<CompletableFuture<Reply>> reads = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                reads.add(read(harness, i * 20_000, 1 + i * 1000));
            }
            await().until(() -> kept.size() == 16);
            for (int i = 15; i >= 0; i--) {
                server.serve(kept.get(i));
                assertThat(TestClient.await(reads.get(i)).ok().data())
                        .isEqualTo(Arrays.copyOfRange(server.content, i * 20_000, i * 20_000 + 1 + i * 1000));
            }
        }
    }

    @Test
    void anErrorReplyFailsThatRequestOnly() throws Exception {
        try (StageHarness harness = open("")) {
            server.behaviour = request -> {
                if (request.offset() == 4096) {
                    request.session().reply(request.handle(), Gnbd.ERROR);
                } else {
                    server.serve(request);
                }
            };

            harness.client().call(BlockOp.READ, 4096, 512).with(BlockStatus.IO_ERROR);
            TestClient.await(write(harness, 4096, random(512))).with(BlockStatus.IO_ERROR);
            harness.client().call(BlockOp.READ, 8192, 512).ok();
            assertThat(server.seen).filteredOn("LOGIN disk"::equals).hasSize(1);
        }
    }

    @Test
    void aPartThatFailsFailsTheRequestAfterTheOthersHaveEnded() throws Exception {
        try (StageHarness harness = open("")) {
            server.behaviour = request -> {
                if (request.offset() == MAX) {
                    request.session().reply(request.handle(), Gnbd.ERROR);
                } else {
                    server.serve(request);
                }
            };

            TestClient.await(write(harness, 0, random(3 * MAX))).with(BlockStatus.IO_ERROR);
            assertThat(server.content[2 * MAX]).isEqualTo(random(3 * MAX)[2 * MAX]);
        }
    }

    @ParameterizedTest
    @CsvSource({"wrong magic", "unknown handle", "an answer twice"})
    void aServerThatBreaksTheProtocolIsLeftAndTheRequestIsDoneAgain(String what) throws Exception {
        AtomicInteger wrong = new AtomicInteger();
        try (StageHarness harness = open("")) {
            server.behaviour = request -> {
                if (wrong.getAndIncrement() > 0) {
                    server.serve(request);
                } else if (what.equals("wrong magic")) {
                    request.session().send(new byte[16]);
                } else if (what.equals("unknown handle")) {
                    request.session().reply(request.handle() + 1, 0);
                } else {
                    request.session().reply(request.handle(), 0);
                    request.session().reply(request.handle(), 0);
                }
            };

            TestClient.await(write(harness, 0, random(512))).ok();
            TestClient.await(write(harness, 0, random(513))).ok();

            assertThat(harness.client().read(0, 513)).isEqualTo(random(513));
            awaitSeen("LOGIN disk", 2);
        }
    }

    // ---- breaks

    @Test
    void whatHadNoAnswerIsSentAgainInOrderOneAfterAnotherBeforeWhatIsNew() throws Exception {
        List<ScriptedServer.Request> kept = new CopyOnWriteArrayList<>();
        try (StageHarness harness = open("")) {
            server.behaviour = keepIn(kept);
            List<CompletableFuture<Reply>> writes = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                writes.add(write(harness, 0, random(512 + i))); // all over each other
            }
            await().until(() -> kept.size() == 5);
            server.goAway();
            awaitState(harness, BackendState.RECONNECTING);
            writes.add(write(harness, 0, random(600)));
            server.seen.clear();
            server.behaviour = server::serve;
            server.comeBack();

            for (CompletableFuture<Reply> write : writes) {
                TestClient.await(write).ok();
            }
            assertThat(server.seen)
                    .containsExactly(
                            "NAMES",
                            "KILL disk",
                            "LOGIN disk",
                            "PING 0+0",
                            "WRITE 0+512",
                            "WRITE 0+513",
                            "WRITE 0+514",
                            "WRITE 0+515",
                            "WRITE 0+516",
                            "WRITE 0+600");
            assertThat(harness.client().read(0, 600)).isEqualTo(random(600));
        }
    }

    @Test
    void whatIsSentAgainWaitsForTheAnswerToTheOneBefore() throws Exception {
        List<ScriptedServer.Request> kept = new CopyOnWriteArrayList<>();
        try (StageHarness harness = open("")) {
            server.behaviour = keepIn(kept);
            CompletableFuture<Reply> first = write(harness, 0, random(512));
            CompletableFuture<Reply> second = write(harness, 0, random(1024));
            await().until(() -> kept.size() == 2);
            server.cut();
            await().until(() -> kept.size() == 3);
            CompletableFuture<Reply> third = write(harness, 0, random(2048));
            harness.client().call(BlockOp.FLUSH, 0, 0).ok(); // has passed the terminator

            assertThat(server.seen.get(server.seen.size() - 1)).isEqualTo("WRITE 0+512");
            server.serve(kept.get(2));
            TestClient.await(first).ok();
            await().until(() -> kept.size() == 4);
            assertThat(kept.get(3).length()).isEqualTo(1024);
            server.behaviour = server::serve;
            server.serve(kept.get(3));
            TestClient.await(second).ok();
            TestClient.await(third).ok();
        }
    }

    @Test
    void allLoginsHaveTheSameTimestamp() throws Exception {
        try (StageHarness harness = open(",connections=2")) {
            server.cut();
            awaitSeen("LOGIN disk", 4);
            harness.client().read(0, 512);
        }
        assertThat(server.timestamps).hasSize(4).containsOnly(Incarnation.TIMESTAMP);
    }

    @Test
    void aRequestThatEndsTheSessionEachTimeFailsAndOthersDoNot() throws Exception {
        try (StageHarness harness = open("")) {
            server.behaviour = request -> {
                if (request.type() == Gnbd.READ && request.offset() == 4096) {
                    request.session().end();
                } else {
                    server.serve(request);
                }
            };

            CompletableFuture<Reply> before = write(harness, 0, random(512));
            CompletableFuture<Reply> bad = read(harness, 4096, 512);
            CompletableFuture<Reply> after = write(harness, 8192, random(512));

            TestClient.await(bad).with(BlockStatus.IO_ERROR);
            TestClient.await(before).ok();
            TestClient.await(after).ok();
            assertThat(harness.client().read(8192, 512)).isEqualTo(random(512));
            assertThat(server.seen).filteredOn("READ 4096+512"::equals).hasSizeBetween(5, 6);
        }
    }

    @Test
    void anotherSizeIsRefusedUntilItIsWhatItWas() throws Exception {
        try (StageHarness harness = open("")) {
            server.sectors = ScriptedServer.SECTORS / 2;
            server.cut();
            awaitState(harness, BackendState.FAILED);
            assertThat(harness.disk().backends().values().iterator().next().reason())
                    .contains("the disk has 524288 bytes now, it had 1048576");
            CompletableFuture<Reply> waiting = write(harness, 0, random(512));
            server.sectors = ScriptedServer.SECTORS;

            TestClient.await(waiting).ok();
        }
    }

    @Test
    void anExportThatCanOnlyBeReadNowIsRefusedUntilItCanBeWritten() throws Exception {
        try (StageHarness harness = open("")) {
            server.exports = List.of(new GnbdExport("disk", 0, true));
            server.cut();
            awaitState(harness, BackendState.FAILED);
            server.exports = List.of(new GnbdExport("disk", 0, false));

            TestClient.await(write(harness, 0, random(512))).ok();
        }
    }

    @Test
    void aRefusedLoginIsTriedAgain() throws Exception {
        try (StageHarness harness = open("")) {
            server.loginErrno = Gnbd.EPERM;
            server.cut();
            awaitState(harness, BackendState.FAILED);
            server.loginErrno = 0;
            awaitState(harness, BackendState.CONNECTED);

            TestClient.await(write(harness, 0, random(512))).ok();
        }
    }

    // ---- time

    @Test
    void afterTheTimeoutARequestFailsAndIsNotSentAgain() throws Exception {
        List<ScriptedServer.Request> kept = new CopyOnWriteArrayList<>();
        try (StageHarness harness = open(",timeout=200ms")) {
            server.behaviour = keepIn(kept);

            TestClient.await(write(harness, 0, random(512))).with(BlockStatus.IO_ERROR);
            server.behaviour = server::serve;
            TestClient.await(write(harness, 0, random(700))).ok();

            assertThat(server.seen).filteredOn("WRITE 0+512"::equals).hasSize(1);
            int killed = server.seen.lastIndexOf("KILL disk");
            assertThat(killed).isGreaterThan(server.seen.indexOf("WRITE 0+512"));
            assertThat(killed).isLessThan(server.seen.indexOf("WRITE 0+700"));
        }
    }

    @Test
    void requestsFailAfterTheTimeoutWhileTheServerIsAway() throws Exception {
        try (StageHarness harness = open(",timeout=200ms")) {
            server.goAway();
            awaitState(harness, BackendState.RECONNECTING);

            TestClient.await(write(harness, 0, random(3 * MAX))).with(BlockStatus.IO_ERROR);
            TestClient.await(read(harness, 0, 512)).with(BlockStatus.IO_ERROR);
            server.comeBack();
            awaitState(harness, BackendState.CONNECTED);
            TestClient.await(read(harness, 0, 512)).ok();
        }
    }

    @Test
    void aFlushIsAnsweredWhileTheServerIsAway() throws Exception {
        try (StageHarness harness = open("")) {
            harness.client().write(0, random(512));
            server.goAway();
            awaitState(harness, BackendState.RECONNECTING);

            harness.client().flush();
        }
    }

    // ---- news

    /** Passes everything, and notes what it is told. */
    private static final class Listener implements Stage, ControlHook {
        final List<String> heard = new CopyOnWriteArrayList<>();

        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below;
        }

        @Override
        public void onControl(ControlMessage message) {
            if (message instanceof ControlMessage.Backend news) {
                heard.add(news.stage() + " " + news.state().word());
            }
        }

        @Override
        public void close() {}
    }

    @Test
    void controlHooksHearHowTheServerStands() throws Exception {
        Listener listener = new Listener();
        try (StageHarness harness = StageHarness.open(listener, Terminators.make(server.port(), ",reconnect=100ms"))) {
            server.goAway();
            awaitState(harness, BackendState.RECONNECTING);
            server.loginErrno = Gnbd.ENODEV;
            server.comeBack();
            awaitState(harness, BackendState.FAILED);
            server.loginErrno = 0;
            awaitState(harness, BackendState.CONNECTED);
            await().untilAsserted(() -> assertThat(listener.heard)
                    .containsSubsequence(
                            "gnbdterminator connected",
                            "gnbdterminator reconnecting",
                            "gnbdterminator failed",
                            "gnbdterminator connected"));
        }
    }
}
