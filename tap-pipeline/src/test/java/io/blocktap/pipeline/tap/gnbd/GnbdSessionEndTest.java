package io.blocktap.pipeline.tap.gnbd;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.WHEN_RELEASED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** KILL_GSERV, FENCE and a stop of the server: whose sessions end, and what becomes of their requests. */
@Timeout(60)
final class GnbdSessionEndTest {
    private static final int SIZE = 1 << 20;

    private static byte[] filled(int length) {
        byte[] data = new byte[length];
        Arrays.fill(data, (byte) 0x5a);
        return data;
    }

    private static Map<String, List<Stage>> twoDisks(ReferenceDisk a, ReferenceDisk b) {
        return Map.of("a", List.of(a), "b", List.of(b));
    }

    private static GnbdControl killOrFence(int command, String export, String node) {
        return command == Gnbd.FENCE ? GnbdControl.about(command, node) : GnbdControl.kill(export, node);
    }

    private static void assertServed(RawGnbdClient client) throws Exception {
        client.sendRequest(Gnbd.PING, 99, 0, 0);
        assertThat(client.receiveReply(99)).isZero();
    }

    // ---- whose sessions

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void killEndsAllSessionsOfTheNodeWithTheExportAndNoOthers(int loops) throws Exception {
        var disks = twoDisks(new ReferenceDisk(SIZE, AT_ONCE), new ReferenceDisk(SIZE, AT_ONCE));
        try (GnbdServer server = new GnbdServer(loops, "", disks);
                RawGnbdClient first = server.connect().loggedIn("a", "n");
                RawGnbdClient second = server.connect().loggedIn("a", "n");
                RawGnbdClient otherExport = server.connect().loggedIn("b", "n");
                RawGnbdClient otherNode = server.connect().loggedIn("a", "m");
                RawGnbdClient killer = server.connect()) {
            killer.send(GnbdControl.kill("a", "n"));

            assertThat(killer.receiveInt()).isZero();
            first.receiveEnd();
            second.receiveEnd();
            assertServed(otherExport);
            assertServed(otherNode);
        }
    }

    @Test
    void twoSessionsOfANodeAreServedSideBySide() throws Exception {
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient first = server.connect().loggedIn("disk", "n");
                RawGnbdClient second = server.connect().loggedIn("disk", "n")) {
            first.sendWrite(1, 0, filled(512));
            assertThat(first.receiveReply(1)).isZero();

            second.sendRequest(Gnbd.READ, 2, 0, 512);

            assertThat(second.receiveReply(2)).isZero();
            assertThat(second.receive(512)).isEqualTo(filled(512));
            first.sendRequest(Gnbd.DISC, 3, 0, 0);
            assertThat(first.receiveReply(3)).isZero();
            first.receiveEnd();
            assertServed(second);
        }
    }

    @Test
    void fenceEndsTheNodesSessionsWithAllExportsAndKeepsItOutUntilItsNextIncarnation() throws Exception {
        var disks = twoDisks(new ReferenceDisk(SIZE, AT_ONCE), new ReferenceDisk(SIZE, AT_ONCE));
        try (GnbdServer server = new GnbdServer(1, "", disks);
                RawGnbdClient first = server.connect().loggedIn("a", "n");
                RawGnbdClient second = server.connect().loggedIn("b", "n");
                RawGnbdClient otherNode = server.connect().loggedIn("a", "m");
                RawGnbdClient fencer = server.connect();
                RawGnbdClient again = server.connect();
                RawGnbdClient reborn = server.connect()) {
            fencer.send(GnbdControl.about(Gnbd.FENCE, "n"));

            assertThat(fencer.receiveInt()).isZero();
            first.receiveEnd();
            second.receiveEnd();
            assertServed(otherNode);
            assertThat(again.login(1, "a", "n").errno()).isEqualTo(Gnbd.EPERM);
            again.receiveEnd();
            assertThat(reborn.login(2, "a", "n").errno()).isZero();
            assertServed(reborn);
        }
    }

    // ---- what becomes of their requests

    @ParameterizedTest
    @ValueSource(ints = {Gnbd.KILL_GSERV, Gnbd.FENCE})
    void whatWasTakenIsSettledBeforeTheAnswerAndHalfAWriteIsDropped(int command) throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n");
                RawGnbdClient killer = server.connect();
                RawGnbdClient other = server.connect().loggedIn("disk", "m")) {
            client.sendWrite(1, 0, filled(4096));
            client.sendWrite(2, 8192, filled(65536));
            await().until(() -> disk.held() == 2);
            client.sendRequest(Gnbd.WRITE, 3, 131072, 65536);
            client.send(filled(60000));

            killer.send(killOrFence(command, "disk", "n"));

            client.receiveEnd();
            assertThat(killer.isSilent(200))
                    .as("no answer before the writes are settled")
                    .isTrue();
            assertServed(other); // nobody else is held up
            disk.release();
            assertThat(killer.receiveInt()).isZero();
            assertThat(disk.seen(BlockOp.WRITE)).isEqualTo(2);
            assertThat(disk.content()[4095]).isEqualTo((byte) 0x5a);
            assertThat(disk.content()[131072]).isZero();
        }
    }

    @Test
    void whoKillsAndDoesNotWaitForTheAnswerHurtsNobody() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n");
                RawGnbdClient patient = server.connect()) {
            client.sendWrite(1, 0, filled(512));
            await().until(() -> disk.held() == 1);
            for (int i = 0; i < 10; i++) {
                try (RawGnbdClient killer = server.connect()) {
                    killer.send(GnbdControl.kill("disk", "n"));
                }
            }
            client.receiveEnd();

            patient.send(GnbdControl.kill("disk", "n"));
            disk.release();

            assertThat(patient.receiveInt()).isZero();
        }
    }

    @Test
    void afterAKillTheNodesWritesCanNotLandLate() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, AT_ONCE);
        try (GnbdServer server = new GnbdServer("", disk)) {
            for (int i = 1; i <= 30; i++) {
                byte[] data = new byte[4096];
                Arrays.fill(data, (byte) i);
                try (RawGnbdClient client = server.connect().loggedIn("disk", "n");
                        RawGnbdClient killer = server.connect()) {
                    client.sendWrite(1, 0, data);
                    client.sendWrite(2, 0, data);
                    killer.send(GnbdControl.kill("disk", "n"));
                    assertThat(killer.receiveInt()).isZero();
                }
                int writes = disk.seen(BlockOp.WRITE);
                try (RawGnbdClient next = server.connect().loggedIn("disk", "n")) {
                    assertServed(next);
                }
                assertThat(disk.seen(BlockOp.WRITE)).isEqualTo(writes);
            }
        }
    }

    // ---- a stop of the server

    @Test
    void aStopClosesIdleSessionsAndThoseInTheMiddleOfAWrite() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, AT_ONCE);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient idle = server.connect().loggedIn("disk", "n");
                RawGnbdClient half = server.connect().loggedIn("disk", "m");
                RawGnbdClient silent = server.connect()) {
            half.sendRequest(Gnbd.WRITE, 1, 0, 65536);
            half.send(filled(60000));
            assertServed(idle);

            server.tap().stopTaking().get(10, TimeUnit.SECONDS);
            CompletableFuture<Void> closed = server.tap().close();

            idle.receiveEnd();
            half.receiveEnd();
            silent.receiveEnd();
            closed.get(10, TimeUnit.SECONDS);
            assertThat(disk.seen(BlockOp.WRITE)).isZero();
        }
    }

    @Test
    void aWriteThatTheStopHasOvertakenIsStillFlushedBeforeItsAnswer() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(Geometry.ofSize(SIZE, Feature.FLUSH), WHEN_RELEASED);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendWrite(1, 0, filled(512));
            await().until(() -> disk.held() == 1);
            server.tap().stopTaking().get(10, TimeUnit.SECONDS);
            disk.releaseLast();
            await().until(() -> disk.held() == 1);
            assertThat(disk.seen(BlockOp.FLUSH)).isEqualTo(1);
            assertThat(client.isSilent(100)).isTrue();

            disk.release();

            assertThat(client.receiveReply(1)).isZero();
            CompletableFuture<Void> closed = server.tap().close();
            client.receiveEnd();
            closed.get(10, TimeUnit.SECONDS);
        }
    }
}
