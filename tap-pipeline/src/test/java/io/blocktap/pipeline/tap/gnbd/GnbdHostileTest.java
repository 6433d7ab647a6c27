package io.blocktap.pipeline.tap.gnbd;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What clients send that no client should: the server bounds it, says so once, and serves the others. */
@Timeout(60)
final class GnbdHostileTest {
    private static final int SIZE = 1 << 20;

    private final ListAppender<ILoggingEvent> log = new ListAppender<>();

    @BeforeEach
    void collectTheLog() {
        log.start();
        ((Logger) GnbdTap.LOG).addAppender(log);
    }

    @AfterEach
    void stopCollecting() {
        ((Logger) GnbdTap.LOG).detachAppender(log);
    }

    private static GnbdServer server(String options) throws Exception {
        return new GnbdServer(options, new ReferenceDisk(SIZE, AT_ONCE));
    }

    private static byte[] bytes(GnbdControl request) {
        ByteBuf buffer = Unpooled.buffer();
        request.append(buffer);
        return ByteBufUtil.getBytes(buffer);
    }

    /** Writes a text over the end of a request, where its last field is. */
    private static byte[] endingWith(byte[] request, String text) {
        byte[] field = text.getBytes(StandardCharsets.ISO_8859_1);
        System.arraycopy(field, 0, request, request.length - field.length, field.length);
        return request;
    }

    private static void assertServed(RawGnbdClient client) throws Exception {
        client.sendRequest(Gnbd.PING, 99, 0, 0);
        assertThat(client.receiveReply(99)).isZero();
    }

    private void assertLoggedOnce(String text) {
        assertThat(log.list)
                .extracting(ILoggingEvent::getFormattedMessage)
                .filteredOn(line -> line.contains(text))
                .as("lines with: " + text)
                .hasSize(1);
    }

    // ---- control requests

    @Test
    void controlRequestsThatLackTheirLastByteAreCutOffWithoutAnAnswer() throws Exception {
        List<GnbdControl> requests = List.of(
                GnbdControl.of(Gnbd.NAMES),
                GnbdControl.about(Gnbd.FENCE, "n"),
                GnbdControl.about(Gnbd.UNFENCE, "n"),
                GnbdControl.kill("disk", "n"),
                GnbdControl.login(1, "disk", "n"),
                GnbdControl.uid("disk"));
        List<RawGnbdClient> clients = new ArrayList<>();
        try (GnbdServer server = server(",control-timeout=300ms");
                RawGnbdClient served = server.connect().loggedIn("disk", "served")) {
            for (GnbdControl request : requests) {
                RawGnbdClient client = server.connect();
                clients.add(client);
                byte[] whole = bytes(request);
                client.send(Arrays.copyOf(whole, whole.length - 1));
            }
            for (RawGnbdClient client : clients) {
                client.receiveEnd();
                client.close();
            }
            assertServed(served);
        }
        assertLoggedOnce("its control request took more than 300 ms (control-timeout)");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 9, -1})
    void anUnknownCommandIsCutOffAtOnce(int command) throws Exception {
        try (GnbdServer server = server("");
                RawGnbdClient client = server.connect()) {
            client.send(Unpooled.buffer().writeInt(command).array());

            client.receiveEnd();
        }
        assertLoggedOnce("unknown command");
    }

    @Test
    void aNodeWithoutANulIsTheSameInAllRequestsAndFitsIntoTheListOfTheBanned() throws Exception {
        String name = "x".repeat(Gnbd.NODE_BYTES);
        try (GnbdServer server = server("");
                RawGnbdClient fencer = server.connect();
                RawGnbdClient lister = server.connect();
                RawGnbdClient fenced = server.connect();
                RawGnbdClient unfencer = server.connect();
                RawGnbdClient freed = server.connect()) {
            fencer.send(endingWith(bytes(GnbdControl.about(Gnbd.FENCE, "")), name));
            assertThat(fencer.receiveInt()).isZero();

            lister.send(GnbdControl.of(Gnbd.LIST_BANNED));
            assertThat(lister.receiveInt()).isZero();
            assertThat(lister.receiveInt()).isEqualTo(Gnbd.NODE_BYTES);
            assertThat(new String(lister.receive(Gnbd.NODE_BYTES), StandardCharsets.ISO_8859_1))
                    .isEqualTo(name.substring(1) + "\0");
            byte[] login = endingWith(bytes(GnbdControl.login(1, "disk", "")), name);
            fenced.send(login);
            assertThat(fenced.receive(16)[10]).isEqualTo((byte) Gnbd.EPERM);

            unfencer.send(endingWith(bytes(GnbdControl.about(Gnbd.UNFENCE, "")), name));
            assertThat(unfencer.receiveInt()).isZero();
            freed.send(login);
            assertThat(freed.receive(16)[10]).isZero();
        }
    }

    @Test
    void controlBytesInNamesDoNotReachTheLog() throws Exception {
        try (GnbdServer server = server("");
                RawGnbdClient client = server.connect()) {
            assertThat(client.login(1, "a\nb\u001b[2J", "n\rm").errno()).isEqualTo(Gnbd.ENODEV);
        }
        assertThat(log.list)
                .allSatisfy(event -> assertThat(event.getFormattedMessage()).matches("\\P{Cntrl}*"));
    }

    @Test
    void clientsThatAskAndDoNotListenHurtNobody() throws Exception {
        try (GnbdServer server = server("");
                RawGnbdClient served = server.connect().loggedIn("disk", "served")) {
            for (int i = 0; i < 50; i++) {
                try (RawGnbdClient client = server.connect()) {
                    client.send(GnbdControl.of(Gnbd.NAMES));
                }
                try (RawGnbdClient client = server.connect()) {
                    client.send(GnbdControl.login(i, "disk", "n" + i));
                }
            }
            assertServed(served);
        }
    }

    // ---- the data side

    @ParameterizedTest
    @CsvSource({"0, 131073", "1, 131073", "0, -1", "1, -1", "3, 131073"})
    void aRequestOfMoreThanTheProtocolAllowsIsCutOff(int type, int length) throws Exception {
        try (GnbdServer server = server("");
                RawGnbdClient served = server.connect().loggedIn("disk", "served");
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendRequest(type, 1, 0, length);

            client.receiveEnd();
            assertServed(served);
        }
        assertLoggedOnce("a request of " + Integer.toUnsignedString(length) + " bytes; the most is 131072");
    }

    @ParameterizedTest
    @ValueSource(longs = {-1, Long.MIN_VALUE, Long.MAX_VALUE, SIZE, SIZE - 4095})
    void aWriteOutsideTheDiskFailsAndItsPayloadIsDropped(long offset) throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, AT_ONCE);
        try (GnbdServer server = new GnbdServer("", disk);
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            client.sendWrite(1, offset, new byte[4096]);
            assertThat(client.receiveReply(1)).isEqualTo(Gnbd.ERROR);

            client.sendRequest(Gnbd.READ, 2, offset, 4096);
            assertThat(client.receiveReply(2)).isEqualTo(Gnbd.ERROR);
            assertServed(client);
        }
    }

    // ---- floods

    @Test
    void aFloodOfConnectionsIsLoggedOnce() throws Exception {
        List<RawGnbdClient> flood = new ArrayList<>();
        try (GnbdServer server = server(",max-connections=3");
                RawGnbdClient served = server.connect().loggedIn("disk", "n")) {
            for (int i = 0; i < 40; i++) {
                flood.add(server.connect());
            }
            for (RawGnbdClient client : flood.subList(2, 40)) {
                client.receiveEnd();
            }
            assertServed(served);
            for (RawGnbdClient client : flood) {
                client.close();
            }
        }
        assertLoggedOnce("refused, there are max-connections=3");
    }

    @Test
    void aFloodOfBrokenSessionsIsLoggedOnce() throws Exception {
        try (GnbdServer server = server("")) {
            for (int i = 0; i < 40; i++) {
                try (RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
                    client.send(new byte[28]);
                    client.receiveEnd();
                }
            }
        }
        assertLoggedOnce("a request does not begin with the magic number; the connection is closed");
    }
}
