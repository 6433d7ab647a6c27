package io.blocktap.transport.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.TapException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.DecoderException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Messages survive the wire, however it cuts them; a length that can not be right ends it. */
class XsCodecTest {
    private static byte[] header(int type, int reqId, int txId, int lengthBytes) {
        return ByteBuffer.allocate(16)
                .order(ByteOrder.nativeOrder())
                .putInt(type)
                .putInt(reqId)
                .putInt(txId)
                .putInt(lengthBytes)
                .array();
    }

    private static List<XsMessage> takeAll(EmbeddedChannel channel) {
        List<XsMessage> messages = new ArrayList<>();
        for (XsMessage each = channel.readInbound(); each != null; each = channel.readInbound()) {
            messages.add(each);
        }
        return messages;
    }

    @Test
    void headerIsFourNativeWords() {
        EmbeddedChannel channel = new EmbeddedChannel(XsEncoder.INSTANCE);

        channel.writeOutbound(new XsMessage(XsWire.XS_READ, 7, 0x81020304, new byte[] {'a', 0}));

        ByteBuf written = channel.readOutbound();
        byte[] bytes = new byte[written.readableBytes()];
        written.readBytes(bytes).release();
        assertThat(bytes)
                .startsWith(header(2, 7, 0x81020304, 2))
                .endsWith('a', 0)
                .hasSize(18);
    }

    @Test
    void numbersAreThoseOfTheHeaderFile() {
        assertThat(List.of(
                        XsWire.XS_DIRECTORY,
                        XsWire.XS_READ,
                        XsWire.XS_GET_PERMS,
                        XsWire.XS_WATCH,
                        XsWire.XS_UNWATCH,
                        XsWire.XS_TRANSACTION_START,
                        XsWire.XS_TRANSACTION_END))
                .containsExactly(1, 2, 3, 4, 5, 6, 7);
        assertThat(List.of(
                        XsWire.XS_GET_DOMAIN_PATH,
                        XsWire.XS_WRITE,
                        XsWire.XS_MKDIR,
                        XsWire.XS_RM,
                        XsWire.XS_SET_PERMS,
                        XsWire.XS_WATCH_EVENT,
                        XsWire.XS_ERROR,
                        XsWire.XS_IS_DOMAIN_INTRODUCED,
                        XsWire.XS_DIRECTORY_PART))
                .containsExactly(10, 11, 12, 13, 14, 15, 16, 17, 22);
    }

    @Test
    void messagesSurviveEverySplit() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 300; round++) {
            List<XsMessage> sent = randomMessages(random);
            ByteBuf bytes = Unpooled.buffer();
            sent.forEach(each -> XsWire.write(bytes, each));
            EmbeddedChannel channel = new EmbeddedChannel(new XsDecoder());

            while (bytes.isReadable()) {
                int most = random.nextBoolean() ? 20 : bytes.readableBytes();
                channel.writeInbound(
                        bytes.readRetainedSlice(1 + random.nextInt(Math.min(most, bytes.readableBytes()))));
            }

            List<XsMessage> got = takeAll(channel);
            assertThat(got).as("seed %s round %s", seed, round).hasSameSizeAs(sent);
            for (int i = 0; i < sent.size(); i++) {
                assertThat(got.get(i).toString())
                        .as("seed %s", seed)
                        .isEqualTo(sent.get(i).toString());
                assertThat(got.get(i).payload())
                        .as("seed %s", seed)
                        .isEqualTo(sent.get(i).payload());
            }
            assertThat(channel.finish()).isFalse();
            bytes.release();
        }
    }

    private static List<XsMessage> randomMessages(Random random) {
        List<XsMessage> messages = new ArrayList<>();
        int count = 1 + random.nextInt(8);
        for (int i = 0; i < count; i++) {
            int most = random.nextInt(4) == 0 ? XsWire.PAYLOAD_MAX_BYTES : 40;
            byte[] payload = new byte[random.nextInt(8) == 0 ? most : random.nextInt(most + 1)];
            random.nextBytes(payload);
            messages.add(new XsMessage(random.nextInt(27), random.nextInt(), random.nextInt(), payload));
        }
        return messages;
    }

    @Test
    void incompleteMessageIsNone() {
        EmbeddedChannel channel = new EmbeddedChannel(new XsDecoder());

        channel.writeInbound(Unpooled.wrappedBuffer(header(2, 1, 0, 5), new byte[] {1, 2, 3, 4}));

        assertThat(takeAll(channel)).isEmpty();
        channel.finishAndReleaseAll();
    }

    @ParameterizedTest
    @ValueSource(ints = {4097, 65536, Integer.MAX_VALUE, Integer.MIN_VALUE, -1})
    void lengthThatCanNotBeRightEndsDecoding(int lengthBytes) {
        EmbeddedChannel channel = new EmbeddedChannel(new XsDecoder());
        byte[] good = header(2, 1, 0, 0);
        byte[] bad = header(16, 2, 0, lengthBytes);

        assertThatThrownBy(() -> channel.writeInbound(Unpooled.wrappedBuffer(good, bad, good)))
                .isInstanceOf(DecoderException.class)
                .hasCauseInstanceOf(TapException.class)
                .hasMessageContaining("a message that says it has " + Integer.toUnsignedString(lengthBytes)
                        + " bytes (ERROR), at most 4096 are allowed: this is no xenstore");
        channel.writeInbound(Unpooled.wrappedBuffer(good));

        assertThat(takeAll(channel)).hasSize(1);
        channel.finishAndReleaseAll();
    }

    @Test
    void randomBytesNeverMakeMessagesLongerThanTheLimit() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 2000; round++) {
            EmbeddedChannel channel = new EmbeddedChannel(new XsDecoder());
            byte[] bytes = new byte[random.nextInt(6000)];
            random.nextBytes(bytes);
            try {
                channel.writeInbound(Unpooled.wrappedBuffer(bytes));
            } catch (DecoderException e) {
                assertThat(e).as("seed %s", seed).hasCauseInstanceOf(TapException.class);
            }
            assertThat(takeAll(channel)).as("seed %s", seed).allMatch(each -> each.payload().length <= 4096);
            channel.finishAndReleaseAll();
        }
    }

    @Test
    void textLosesOnlyTheZeroByteAtItsEnd() {
        assertThat(new XsMessage(3, 0, 0, new byte[] {'O', 'K', 0}).text()).isEqualTo("OK");
        assertThat(new XsMessage(3, 0, 0, new byte[] {'O', 'K'}).text()).isEqualTo("OK");
        assertThat(new XsMessage(3, 0, 0, new byte[0]).text()).isEmpty();
    }

    @Test
    void stringsEndAtZeroBytes() {
        assertThat(new XsMessage(1, 0, 0, new byte[] {'a', 0, 'b', 'c', 0}).strings())
                .containsExactly("a", "bc");
        assertThat(new XsMessage(1, 0, 0, new byte[] {'a', 0, 'b'}).strings()).containsExactly("a", "b");
        assertThat(new XsMessage(1, 0, 0, new byte[0]).strings()).isEmpty();
    }
}
