package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.VerifyingClient;
import io.blocktap.pipeline.codec.nbd.Nbd;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Clients that break the protocol on raw sockets. Each gets an error or loses its connection; the server lives, forgets them, and an honest
 * client's verified I/O goes on beside all of it.
 */
@Timeout(60)
final class HostileNbdIT {
    private static final int SIZE = 16 << 20;
    private static final int HONEST_START = 12 << 20;
    private static final int HONEST_BYTES = 512 << 10;
    private static final int FLAGS = 3;

    @TempDir
    private static Path directory;

    private static ServedDisk served;

    private VerifyingClient honest;
    private int descriptors;

    /** One server for all of it: what one test does to it, the next would see. */
    @BeforeAll
    static void serve() {
        String tap = "nbd:unix=" + directory.resolve("nbd.sock") + ",handshake-timeout=2s";
        served = ServedDisk.start(directory, List.of(), List.of("--tap", tap, "count", "memory:16M"));
    }

    @AfterAll
    static void theServerEndsWell() {
        served.close();
    }

    @BeforeEach
    void startHonestClient() {
        honest = VerifyingClient.start(served.nbdSocket(), HONEST_START, HONEST_BYTES);
        descriptors = served.awaitSteadyDescriptors();
    }

    @AfterEach
    void theOthersAreUnharmed() {
        try (VerifyingClient unharmed = honest) {
            served.assertAlive();
            served.awaitDescriptors(descriptors);
            unharmed.assertServed();
        }
    }

    private RawNbd connect() throws IOException {
        return RawNbd.connect(served.nbdSocket());
    }

    private RawNbd greeted() throws IOException {
        RawNbd client = connect();
        client.greet();
        return client;
    }

    private RawNbd open() throws IOException {
        return RawNbd.open(served.nbdSocket());
    }

    // ---- handshake

    @Test
    void garbageInPlaceOfAHandshakeIsCutOff() throws Exception {
        for (int seed = 0; seed < 50; seed++) {
            try (RawNbd client = connect()) {
                sendAll(client, ByteBuffer.wrap(TestData.bytes(seed, 4096)));
                client.receiveToEnd();
            }
        }
    }

    @Test
    void garbageInPlaceOfAnOptionIsCutOff() throws Exception {
        for (int seed = 0; seed < 50; seed++) {
            try (RawNbd client = greeted()) {
                sendAll(client, ByteBuffer.wrap(TestData.bytes(seed, 4096)));
                assertThat(client.receiveToEnd()).isZero();
            }
        }
    }

    @Test
    void aClientThatSaysNothingIsCutOffInTime() throws Exception {
        try (RawNbd silent = connect();
                RawNbd halfFlags = connect();
                RawNbd noOption = greeted();
                RawNbd halfOption = greeted()) {
            halfFlags.send(ByteBuffer.allocate(2));
            halfOption.send(RawNbd.option(Nbd.OPT_GO, RawNbd.named("")).limit(9));

            assertThat(silent.receiveToEnd()).isEqualTo(18);
            assertThat(halfFlags.receiveToEnd()).isEqualTo(18);
            assertThat(noOption.receiveToEnd()).isZero();
            assertThat(halfOption.receiveToEnd()).isZero();
        }
        served.awaitLog("did not choose a disk within 2000 ms");
    }

    @Test
    void unknownClientFlagsAreCutOff() throws Exception {
        try (RawNbd client = connect()) {
            client.send(ByteBuffer.allocate(4).putInt(0x80000003).flip());
            assertThat(client.receiveToEnd()).isEqualTo(18);
        }
    }

    @Test
    void hugeOptionsAreCutOffWithoutBeingStored() throws Exception {
        for (int option : new int[] {Nbd.OPT_EXPORT_NAME, Nbd.OPT_GO, Nbd.OPT_LIST, 4711}) {
            for (int length : new int[] {0x80000000, 0x7fffffff, 0xffffffff, 1 << 20}) {
                try (RawNbd client = greeted()) {
                    client.send(ByteBuffer.allocate(16)
                            .putLong(Nbd.IHAVEOPT)
                            .putInt(option)
                            .putInt(length)
                            .flip());
                    assertThat(client.receiveToEnd()).isZero();
                }
            }
        }
    }

    @Test
    void optionsThatLieAreAnsweredAndTheNextOneWorks() throws Exception {
        try (RawNbd client = greeted()) {
            List<byte[]> lies = List.of(
                    new byte[0],
                    new byte[] {0, 0, 0},
                    ByteBuffer.allocate(6).putInt(0xffffffff).array(),
                    ByteBuffer.allocate(6).putInt(0x7fffffff).array(),
                    ByteBuffer.allocate(6).putInt(1).array(),
                    ByteBuffer.allocate(6).putInt(0).putShort((short) 7).array(),
                    ByteBuffer.allocate(8).putInt(2).putShort((short) 0xc328).array());
            for (byte[] lie : lies) {
                client.sendOption(Nbd.OPT_INFO, lie);
                assertThat(client.receiveOptionReply().type()).isEqualTo(Nbd.REP_ERR_INVALID);
            }
            client.sendOption(Nbd.OPT_LIST, new byte[5]);
            assertThat(client.receiveOptionReply().type()).isEqualTo(Nbd.REP_ERR_INVALID);
            client.sendOption(Nbd.OPT_STARTTLS, new byte[0]);
            assertThat(client.receiveOptionReply().type()).isEqualTo(Nbd.REP_ERR_UNSUP);
            client.sendOption(4711, new byte[60_000]);
            assertThat(client.receiveOptionReply().type()).isEqualTo(Nbd.REP_ERR_UNSUP);

            client.go("");
            assertThat(client.sizeBytes()).isEqualTo(SIZE);
            client.disconnect();
        }
    }

    @Test
    void endlessOptionsAreCutOff() throws Exception {
        try (RawNbd client = greeted()) {
            ByteBuffer list = RawNbd.option(Nbd.OPT_LIST, new byte[0]);
            ByteBuffer all = ByteBuffer.allocate(10_000 * list.remaining());
            for (int i = 0; i < 10_000; i++) {
                all.put(list.rewind());
            }
            sendAll(client, all.flip());
            // It answers until it has enough, and not ten thousand times.
            assertThat(client.receiveToEnd()).isLessThan(10_000 * 20);
        }
    }

    @Test
    void handshakeAndRequestsInOneSegmentAreServed() throws Exception {
        byte[] data = TestData.bytes(5, 4096);
        ByteBuffer all = ByteBuffer.allocate(16 << 10)
                .putInt(FLAGS)
                .put(RawNbd.option(4711, new byte[3]))
                .put(RawNbd.option(Nbd.OPT_GO, RawNbd.named("")))
                .put(RawNbd.request(Nbd.CMD_WRITE, 0, 1, 8192, data.length))
                .put(data)
                .put(RawNbd.request(Nbd.CMD_READ, 0, 2, 8192, data.length))
                .put(RawNbd.request(Nbd.CMD_DISC, 0, 3, 0, 0))
                .flip();
        for (int piece : new int[] {all.limit(), 1, 7, 100}) {
            try (RawNbd client = connect()) {
                client.receive(18);
                ByteBuffer rest = all.duplicate();
                while (rest.hasRemaining()) {
                    int now = Math.min(piece, rest.remaining());
                    client.send(rest.slice(rest.position(), now));
                    rest.position(rest.position() + now);
                }
                assertThat(client.receiveOptionReply().type()).isEqualTo(Nbd.REP_ERR_UNSUP);
                while (client.receiveOptionReply().type() != Nbd.REP_ACK) {
                    continue;
                }
                assertThat(client.receiveAnswer()).isEqualTo(new RawNbd.Answer(0, 1));
                assertThat(client.receiveAnswer()).isEqualTo(new RawNbd.Answer(0, 2));
                assertThat(client.receive(data.length).array()).isEqualTo(data);
                assertThat(client.receiveToEnd()).isZero();
            }
        }
    }

    // ---- transmission

    @Test
    void aRequestWithoutItsMagicIsCutOff() throws Exception {
        for (int seed = 0; seed < 50; seed++) {
            try (RawNbd client = open()) {
                sendAll(client, ByteBuffer.wrap(TestData.bytes(seed, 4096)));
                assertThat(client.receiveToEnd()).isZero();
            }
        }
    }

    @Test
    void requestsOutOfBoundsAreErrorsAndTheNextOneWorks() throws Exception {
        try (RawNbd client = open()) {
            assertThat(client.command(Nbd.CMD_READ, 0, 0, 0xffffffff)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_READ, 0, 0, 0x80000000)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_READ, 0, SIZE, 1)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_READ, 0, SIZE - 1, 2)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_READ, 0, -1, 1)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_READ, 0, Long.MAX_VALUE, 0x7fffffff))
                    .isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_READ, 0, Long.MIN_VALUE, 4096)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_TRIM, 0, SIZE - 4096, 8192)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_WRITE_ZEROES, 0, SIZE - 4096, 8192))
                    .isEqualTo(Nbd.ENOSPC);
            assertThat(client.write(SIZE - 100, new byte[4096])).isEqualTo(Nbd.ENOSPC);
            assertThat(client.write(-4096, new byte[4096])).isEqualTo(Nbd.ENOSPC);
            assertThat(client.command(Nbd.CMD_FLUSH, 0, 512, 0)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(99, 0, 0, 512)).isEqualTo(Nbd.EINVAL);
            assertThat(client.command(Nbd.CMD_READ, 0x8000, 0, 512)).isEqualTo(Nbd.EINVAL);

            byte[] data = TestData.bytes(3, 64 << 10);
            assertThat(client.write(0, data)).isZero();
            assertThat(client.read(0, data.length)).isEqualTo(data);
            client.disconnect();
        }
    }

    @Test
    void aWriteOfGigabytesIsCutOff() throws Exception {
        for (int length : new int[] {0xffffffff, 0x80000000, 0x7fffffff}) {
            try (RawNbd client = open()) {
                client.send(RawNbd.request(Nbd.CMD_WRITE, 0, 1, 0, length));
                sendAll(client, ByteBuffer.allocate(1 << 20));
                assertThat(client.receiveToEnd()).isZero();
            }
        }
    }

    @Test
    void aWriteThatEndsInTheMiddleWritesNothing() throws Exception {
        byte[] before = TestData.bytes(11, 1 << 20);
        try (RawNbd client = open()) {
            assertThat(client.write(0, before)).isZero();
        }
        SplittableRandom random = new SplittableRandom(1);
        for (int round = 0; round < 30; round++) {
            try (RawNbd client = open()) {
                int length = 1 << 12 + round % 9;
                client.send(RawNbd.request(Nbd.CMD_WRITE, 0, 1, 0, length));
                client.send(ByteBuffer.allocate(random.nextInt(length)));
                if (round % 2 == 0) {
                    client.shutdownOutput();
                    assertThat(client.receiveToEnd()).isZero();
                }
            }
        }
        try (RawNbd client = open()) {
            assertThat(client.read(0, before.length)).isEqualTo(before);
        }
    }

    @Test
    void aClientThatTakesNoAnswersGetsNoFurther() throws Exception {
        try (RawNbd client = open()) {
            ByteBuffer read = RawNbd.request(Nbd.CMD_READ, 0, 1, 0, 1 << 20);
            // 200 MiB of answers that nobody takes; the requests fit into the socket's buffer or the server's.
            for (int i = 0; i < 200; i++) {
                client.send(read.rewind());
            }
            honest.assertServed();
            long memory = residentBytes();
            assertThat(memory).as("bytes resident").isLessThan(700L << 20);
            for (int i = 0; i < 200; i++) {
                assertThat(client.receiveAnswer()).isEqualTo(new RawNbd.Answer(0, 1));
                client.receive(1 << 20);
            }
            client.disconnect();
        }
    }

    private long residentBytes() throws IOException {
        String statm = Files.readString(Path.of("/proc", Long.toString(served.pid()), "statm"));
        return Long.parseLong(statm.split(" ")[1]) * 4096;
    }

    @Test
    void twoHundredConnectionsAtATimeAreServed() throws Exception {
        List<RawNbd> clients = new ArrayList<>();
        try {
            for (int i = 0; i < 200; i++) {
                clients.add(open());
            }
            byte[] data = TestData.bytes(21, 4096);
            for (int i = 0; i < clients.size(); i++) {
                clients.get(i).sendWrite(i, i * 4096L, data);
            }
            for (int i = 0; i < clients.size(); i++) {
                assertThat(clients.get(i).receiveAnswer()).isEqualTo(new RawNbd.Answer(0, i));
            }
            for (RawNbd client : clients) {
                assertThat(client.read(199 * 4096, 4096)).isEqualTo(data);
            }
        } finally {
            for (RawNbd client : clients) {
                client.close();
            }
        }
    }

    @Test
    void connectionsBeyondTheLimitAreRefusedAndLaterOnesServed() throws Exception {
        List<RawNbd> clients = new ArrayList<>();
        try {
            for (int i = 0; i < 300; i++) {
                clients.add(connect());
            }
            // 256 by default; the honest client holds one.
            int greeted = 0;
            for (RawNbd client : clients) {
                try {
                    client.receive(18);
                    greeted++;
                } catch (IOException e) {
                    assertThat(e).isNotNull(); // closed: that is the refusal
                }
            }
            assertThat(greeted).isEqualTo(255);
        } finally {
            for (RawNbd client : clients) {
                client.close();
            }
        }
        served.awaitDescriptors(descriptors);
        open().disconnect();
    }

    /** Sends what the server may cut off at any byte. */
    private static void sendAll(RawNbd client, ByteBuffer bytes) {
        try {
            client.send(bytes);
        } catch (IOException e) {
            assertThat(e).hasMessageMatching(".*(Broken pipe|reset).*");
        }
    }
}
