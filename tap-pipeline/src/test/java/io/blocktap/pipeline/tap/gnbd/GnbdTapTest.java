package io.blocktap.pipeline.tap.gnbd;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.WHEN_RELEASED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the traces do not show: writes that are not settled yet, durability, hostile clients, several disks. */
@Timeout(60)
final class GnbdTapTest {
    private static final int SIZE = 1 << 20;

    private static byte[] random(int length) {
        byte[] data = new byte[length];
        new Random(length).nextBytes(data);
        return data;
    }

    private static ReferenceDisk flushingDisk() {
        return new ReferenceDisk(Geometry.ofSize(SIZE, Feature.FLUSH), AT_ONCE);
    }

    // ---- data

    @Test
    void readsWhatWasWrittenInAllSizes() throws Exception {
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            for (int length : new int[] {1, 511, 4096, 65537, Gnbd.MAX_DATA_BYTES}) {
                client.sendWrite(length, 3, random(length));
                assertThat(client.receiveReply(length)).isZero();
                client.sendRequest(Gnbd.READ, -length, 3, length);
                assertThat(client.receiveReply(-length)).isZero();
                assertThat(client.receive(length)).isEqualTo(random(length));
            }
        }
    }

    @Test
    void aWriteIsFollowedByAFlushIfTheDiskHasNoFua() throws Exception {
        ReferenceDisk disk = flushingDisk();
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendWrite(7, 0, random(512));

            assertThat(client.receiveReply(7)).isZero();
            assertThat(disk.seen(BlockOp.FLUSH)).isEqualTo(1);
        }
    }

    @Test
    void aFailedFlushFailsItsWrite() throws Exception {
        ReferenceDisk disk = flushingDisk();
        disk.failNext(BlockOp.FLUSH, BlockStatus.IO_ERROR);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendWrite(7, 0, random(512));

            assertThat(client.receiveReply(7)).isEqualTo(Gnbd.ERROR);
        }
    }

    @Test
    void withWriteBackOnlyDiscFlushes() throws Exception {
        ReferenceDisk disk = flushingDisk();
        try (GnbdServer server = new GnbdServer(",write-back", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendWrite(7, 0, random(512));
            assertThat(client.receiveReply(7)).isZero();
            assertThat(disk.seen(BlockOp.FLUSH)).isZero();

            client.sendRequest(Gnbd.DISC, 8, 0, 0);

            assertThat(client.receiveReply(8)).isZero();
            assertThat(disk.seen(BlockOp.FLUSH)).isEqualTo(1);
            client.receiveEnd();
        }
    }

    @Test
    void aDiskThatFailsIsAnErrorOfTheRequestOnly() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, AT_ONCE);
        disk.failNext(BlockOp.READ, BlockStatus.IO_ERROR);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendRequest(Gnbd.READ, 1, 0, 512);
            assertThat(client.receiveReply(1)).isEqualTo(Gnbd.ERROR);

            client.sendRequest(Gnbd.PING, 2, 0, 0);
            assertThat(client.receiveReply(2)).isZero();
        }
    }

    @Test
    void aReadPastTheEndIsAnsweredAtOnceAndTheRequestBehindItServed() throws Exception {
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendRequest(Gnbd.READ, 1, SIZE - 1, 2);
            client.sendRequest(Gnbd.READ, 2, SIZE - 1, 1);

            assertThat(client.receiveReply(1)).isEqualTo(Gnbd.ERROR);
            assertThat(client.receiveReply(2)).isZero();
            assertThat(client.receive(1)).containsExactly(0);
        }
    }

    @Test
    void aReadOnlyWriteFailsAndItsPayloadIsNotTakenForRequests() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(Geometry.ofSize(SIZE, Feature.READ_ONLY), AT_ONCE);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendWrite(1, 0, random(4096));
            assertThat(client.receiveReply(1)).isEqualTo(Gnbd.ERROR);

            client.sendRequest(Gnbd.PING, 2, 0, 0);
            assertThat(client.receiveReply(2)).isZero();
            assertThat(disk.seen(BlockOp.WRITE)).isZero();
        }
    }

    @Test
    void keepAlivesComeBetweenReplies() throws Exception {
        try (GnbdServer server = new GnbdServer(",keep-alive=100ms", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            byte[] message = client.receive(16);

            assertThat(message).startsWith(0x5b, 0x46, 0xd8, 0xc2).endsWith(new byte[12]);
        }
    }

    // ---- KILL_GSERV and FENCE

    @Test
    void killIsAnsweredWhenTheLastWriteIsSettled() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n");
                RawGnbdClient killer = server.connect()) {
            client.sendWrite(1, 0, random(512));
            await().until(() -> disk.held() == 1);

            killer.send(GnbdControl.kill("disk", "n"));

            client.receiveEnd();
            assertThat(killer.isSilent(200))
                    .as("no answer before the write is settled")
                    .isTrue();
            disk.release();
            assertThat(killer.receiveInt()).isZero();
            assertThat(disk.content()).startsWith(random(512));
        }
    }

    @Test
    void killDropsAWriteWhosePayloadHasNotAllCome() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, AT_ONCE);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n");
                RawGnbdClient killer = server.connect()) {
            client.sendRequest(Gnbd.WRITE, 1, 0, 65536);
            client.send(random(60000));

            killer.send(GnbdControl.kill("disk", "n"));

            assertThat(killer.receiveInt()).isZero();
            client.receiveEnd();
            assertThat(disk.seen(BlockOp.WRITE)).isZero();
        }
    }

    @Test
    void fencedNodesAreBoundedInNumber() throws Exception {
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(SIZE, AT_ONCE))) {
            for (int i = 0; i <= GnbdSessions.MAX_NODES; i++) {
                try (RawGnbdClient client = server.connect()) {
                    client.send(GnbdControl.about(Gnbd.FENCE, "node" + i));
                    assertThat(client.receiveInt()).isEqualTo(i < GnbdSessions.MAX_NODES ? 0 : Gnbd.ENOSPC);
                }
            }
        }
    }

    // ---- several disks

    @Test
    void severalDisksAreExportedByTheirNames() throws Exception {
        var chains = Map.<String, List<io.blocktap.pipeline.Stage>>of(
                "a", List.of(new ReferenceDisk(SIZE, AT_ONCE)), "b", List.of(new ReferenceDisk(2 * SIZE, AT_ONCE)));
        try (GnbdServer server = new GnbdServer(2, "", chains);
                RawGnbdClient first = server.connect();
                RawGnbdClient second = server.connect()) {
            assertThat(first.login(1, "a", "n").sectors()).isEqualTo(SIZE / 512);
            assertThat(second.login(1, "b", "n").sectors()).isEqualTo(2 * SIZE / 512);
            assertThat(server.disk("a").sessions()).hasSize(1);
        }
    }

    @Test
    void theDefaultDiskIsCalledDiskOrAsTheOptionSays() throws Exception {
        var chains = Map.<String, List<io.blocktap.pipeline.Stage>>of("", List.of(new ReferenceDisk(SIZE, AT_ONCE)));
        try (GnbdServer server = new GnbdServer(1, "", chains)) {
            assertThat(server.uris()).allMatch(uri -> uri.endsWith("/disk"));
        }
        var others = Map.<String, List<io.blocktap.pipeline.Stage>>of("", List.of(new ReferenceDisk(SIZE, AT_ONCE)));
        try (GnbdServer server = new GnbdServer(1, ",export=vm1", others)) {
            assertThat(server.uris()).allMatch(uri -> uri.endsWith("/vm1"));
        }
    }

    @Test
    void aNameThatIsNoExportsIsRefused() {
        assertThatThrownBy(() -> GnbdExports.requireExportable("a/b"))
                .isInstanceOf(StageException.class)
                .hasMessage("gnbd: 'a/b' can not be an export's name; it has 1 to 31 bytes, Latin-1 without '/'");
    }

    // ---- hostile clients

    @Test
    void aHalfSentControlRequestTimesOut() throws Exception {
        try (GnbdServer server = new GnbdServer(",control-timeout=200ms", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient client = server.connect()) {
            client.send(new byte[] {0, 0, 0, 6, 1, 2, 3});

            client.receiveEnd();
        }
    }

    @Test
    void namesWithoutANulAreBoundedByTheirFields() throws Exception {
        byte[] login = new byte[117];
        java.util.Arrays.fill(login, (byte) 'x');
        System.arraycopy(new byte[] {0, 0, 0, 6}, 0, login, 0, 4);
        login[12] = 0;
        login[13] = 2;
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient client = server.connect()) {
            client.send(login);

            assertThat(client.receive(16)[10]).isEqualTo((byte) Gnbd.ENODEV);
            client.receiveEnd();
        }
    }

    @Test
    void moreConnectionsThanAllowedAreClosedAndTheOthersServed() throws Exception {
        List<RawGnbdClient> flood = new ArrayList<>();
        try (GnbdServer server = new GnbdServer(",max-connections=3", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient served = server.connect().loggedIn("disk", "n")) {
            for (int i = 0; i < 40; i++) {
                flood.add(server.connect());
            }
            flood.get(39).receiveEnd();

            served.sendRequest(Gnbd.PING, 2, 0, 0);
            assertThat(served.receiveReply(2)).isZero();
            for (RawGnbdClient client : flood) {
                client.close();
            }
        }
    }

    @Test
    void noRandomBytesHurtTheServer() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(SIZE, AT_ONCE));
                RawGnbdClient served = server.connect().loggedIn("disk", "served")) {
            for (int i = 0; i < 100; i++) {
                try (RawGnbdClient client = server.connect()) {
                    if (i % 2 == 0) {
                        client.loggedIn("disk", "n" + i);
                        client.sendRequest(random.nextInt(5), i, random.nextLong(), random.nextInt());
                    }
                    byte[] garbage = new byte[random.nextInt(3000)];
                    random.nextBytes(garbage);
                    client.send(garbage);
                } catch (java.io.IOException e) {
                    // the server may have closed before all was sent
                }
            }
            served.sendRequest(Gnbd.PING, 2, 0, 0);
            assertThat(served.receiveReply(2)).as("seed %d", seed).isZero();
        }
    }

    // ---- the end

    @Test
    void aStoppingServerAnswersWhatItHasTakenAndDropsTheRest() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendWrite(1, 0, random(512));
            await().until(() -> disk.held() == 1);
            server.tap().stopTaking().get(10, TimeUnit.SECONDS);
            client.sendWrite(2, 0, random(512));

            disk.release();

            assertThat(client.receiveReply(1)).isZero();
            client.receiveEnd();
        }
    }
}
