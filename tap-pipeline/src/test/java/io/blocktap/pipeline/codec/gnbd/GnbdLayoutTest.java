package io.blocktap.pipeline.codec.gnbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The numbers here are those of the specification, not computed from the code. */
final class GnbdLayoutTest {
    private static final long LONG = 0x0102_0304_0506_0708L;
    private static final String LONG_HEX = "0102030405060708";

    private static ByteBuf garbage(int bytes) {
        byte[] garbage = new byte[bytes];
        new Random(1).nextBytes(garbage);
        return Unpooled.wrappedBuffer(garbage);
    }

    private static String hex(ByteBuf buffer, int index, int length) {
        return ByteBufUtil.hexDump(buffer, index, length);
    }

    // ---- data side

    @Test
    void aRequestHas28BytesAndItsFieldsAtTheirOffsets() {
        ByteBuf buffer = garbage(40);

        GnbdRequest.set(buffer, 3, 1, LONG, 0x1112_1314_1516_1718L, 0x2122_2324);

        assertThat(GnbdRequest.BYTES).isEqualTo(28);
        assertThat(hex(buffer, 3, 4)).isEqualTo("37a07e00");
        assertThat(hex(buffer, 3 + 4, 4)).isEqualTo("00000001");
        assertThat(hex(buffer, 3 + 8, 8)).isEqualTo(LONG_HEX);
        assertThat(hex(buffer, 3 + 16, 8)).isEqualTo("1112131415161718");
        assertThat(hex(buffer, 3 + 24, 4)).isEqualTo("21222324");
    }

    @Test
    void aRequestIsReadAsItWasWrittenAndLengthsAreUnsigned() {
        ByteBuf buffer = garbage(40);
        GnbdRequest.set(buffer, 5, 0x0100_0000, LONG, -1, -1);
        GnbdRequest request = new GnbdRequest();

        assertThat(request.read(buffer, 5)).isTrue();

        assertThat(request.type()).isEqualTo(0x0100_0000);
        assertThat(request.handle()).isEqualTo(LONG);
        assertThat(request.offsetBytes()).isEqualTo(-1);
        assertThat(request.lengthBytes()).isEqualTo(0xffff_ffffL);
    }

    @Test
    void aRequestWithAnotherMagicIsNone() {
        assertThat(new GnbdRequest().read(garbage(28), 0)).isFalse();
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0, true",
        "0, 1048576, true",
        "1048576, 0, true",
        "1048575, 1, true",
        "1048576, 1, false",
        "0, 1048577, false",
        "2097152, 0, false",
        "-1, 8, false",
        "9223372036854775807, 4294967295, false",
        "-9223372036854775808, 0, false"
    })
    void aRangeIsComparedWithTheSizeWithoutOverflow(long offset, long length, boolean isInside) {
        ByteBuf buffer = garbage(28);
        GnbdRequest.set(buffer, 0, 0, 0, offset, (int) length);
        GnbdRequest request = new GnbdRequest();
        request.read(buffer, 0);

        assertThat(request.isInside(1 << 20)).isEqualTo(isInside);
    }

    @Test
    void aReplyHas16BytesAndItsFieldsAtTheirOffsets() {
        ByteBuf buffer = garbage(20);

        GnbdReply.set(buffer, 2, -1, LONG);

        assertThat(GnbdReply.BYTES).isEqualTo(16);
        assertThat(hex(buffer, 2, 16)).isEqualTo("41f09370" + "ffffffff" + LONG_HEX);
        assertThat(GnbdReply.magic(buffer, 2)).isEqualTo(0x41f09370);
        assertThat(GnbdReply.error(buffer, 2)).isEqualTo(-1);
        assertThat(GnbdReply.handle(buffer, 2)).isEqualTo(LONG);
    }

    @Test
    void aKeepAliveIsAsLongAsAReplyAndZeroBehindItsMagic() {
        ByteBuf buffer = Unpooled.buffer();

        GnbdReply.appendKeepAlive(buffer);

        assertThat(ByteBufUtil.hexDump(buffer)).isEqualTo("5b46d8c2" + "00".repeat(12));
    }

    // ---- control side

    @ParameterizedTest
    @CsvSource({"1, 4", "2, 69", "3, 69", "4, 4", "5, 101", "6, 117", "7, 4", "8, 36", "0, -1", "9, -1", "-1, -1"})
    void aCommandTellsTheLengthOfItsRequest(int command, int bytes) {
        assertThat(GnbdControl.bytes(command)).isEqualTo(bytes);
        assertThat(bytes).isLessThanOrEqualTo(GnbdControl.MAX_BYTES);
    }

    @Test
    void loginHasItsFieldsAtTheirOffsets() {
        ByteBuf buffer = Unpooled.buffer();

        GnbdControl.login(LONG, "disk", "node-a").append(buffer);

        assertThat(buffer.readableBytes()).isEqualTo(117);
        assertThat(hex(buffer, 0, 4)).isEqualTo("00000006");
        assertThat(hex(buffer, 4, 8)).isEqualTo(LONG_HEX);
        assertThat(hex(buffer, 4 + 8, 2)).isEqualTo("0002");
        assertThat(hex(buffer, 4 + 10, 6)).isEqualTo("00".repeat(6));
        assertThat(hex(buffer, 4 + 16, 32)).isEqualTo("6469736b" + "00".repeat(28));
        assertThat(hex(buffer, 4 + 48, 65)).isEqualTo("6e6f64652d61" + "00".repeat(59));
    }

    @Test
    void killHasDeviceAndNodeAtTheirOffsets() {
        ByteBuf buffer = Unpooled.buffer();

        GnbdControl.kill("disk", "node-a").append(buffer);

        assertThat(buffer.readableBytes()).isEqualTo(101);
        assertThat(hex(buffer, 0, 4)).isEqualTo("00000005");
        assertThat(hex(buffer, 4, 32)).isEqualTo("6469736b" + "00".repeat(28));
        assertThat(hex(buffer, 36, 65)).isEqualTo("6e6f64652d61" + "00".repeat(59));
    }

    @Test
    void everyRequestIsReadAsItWasWrittenAndNotBeforeItIsAllThere() throws Exception {
        GnbdControl[] requests = {
            GnbdControl.of(Gnbd.NAMES),
            GnbdControl.about(Gnbd.FENCE, "n".repeat(64)),
            GnbdControl.about(Gnbd.UNFENCE, ""),
            GnbdControl.of(Gnbd.LIST_BANNED),
            GnbdControl.kill("d".repeat(31), "n"),
            GnbdControl.login(LONG, "disk", "node-a"),
            GnbdControl.of(Gnbd.NODENAME),
            GnbdControl.uid("disk")
        };
        for (GnbdControl request : requests) {
            ByteBuf buffer = Unpooled.buffer();
            request.append(buffer);
            for (int readable = 0; readable < buffer.readableBytes(); readable++) {
                assertThat(GnbdControl.read(buffer, 0, readable)).isNull();
            }

            assertThat(GnbdControl.read(buffer, 0, buffer.readableBytes())).isEqualTo(request);
        }
    }

    @Test
    void aCommandThatNobodyKnowsIsRefusedWithoutWaitingForMore() {
        ByteBuf buffer = Unpooled.buffer().writeInt(0x0600_0000);

        assertThatThrownBy(() -> GnbdControl.read(buffer, 0, 4))
                .isInstanceOf(GnbdProtocolException.class)
                .hasMessageContaining("unknown command 100663296");
    }

    @Test
    void aNameEndsAtItsFirstNulOrWithItsField() {
        ByteBuf field = Unpooled.buffer();
        field.writeBytes(new byte[] {'a', 'b', 0, 'c', 'd', (byte) 0xe4});

        assertThat(GnbdText.get(field, 0, 6)).isEqualTo("ab");
        assertThat(GnbdText.get(field, 3, 3)).isEqualTo("cd\u00e4");
    }

    @Test
    void aNameFitsIfThereIsRoomForANulBehindIt() {
        assertThat(GnbdText.fits("d".repeat(31), 32)).isTrue();
        assertThat(GnbdText.fits("d".repeat(32), 32)).isFalse();
        assertThat(GnbdText.fits("a\u0000b", 32)).isFalse();
        assertThat(GnbdText.fits("\u20ac", 32)).isFalse();
    }

    @Test
    void aLoginReplyHas16BytesAndItsFieldsAtTheirOffsets() {
        ByteBuf buffer = Unpooled.buffer();

        new GnbdLoginReply(LONG, 2, 0x96).append(buffer);

        assertThat(GnbdLoginReply.BYTES).isEqualTo(16);
        assertThat(ByteBufUtil.hexDump(buffer)).isEqualTo(LONG_HEX + "0002" + "96" + "00".repeat(5));
        assertThat(GnbdLoginReply.read(buffer, 0)).isEqualTo(new GnbdLoginReply(LONG, 2, 0x96));
    }

    @Test
    void onlyARefusalForItsVersionTellsTheServersVersion() {
        assertThat(GnbdLoginReply.refusal(Gnbd.EINVAL).version()).isEqualTo(2);
        assertThat(GnbdLoginReply.refusal(Gnbd.ENODEV).version()).isZero();
    }

    @Test
    void aRecordOfNamesIsLittleEndianWithItsFieldsAtTheirOffsets() throws Exception {
        ByteBuf buffer = Unpooled.buffer();

        new GnbdExport("disk", 60, true).append(buffer);

        assertThat(GnbdExport.BYTES).isEqualTo(40);
        assertThat(buffer.readableBytes()).isEqualTo(40);
        assertThat(hex(buffer, 0, 4)).isEqualTo("3c000000");
        assertThat(hex(buffer, 4, 2)).isEqualTo("0100");
        assertThat(hex(buffer, 6, 32)).isEqualTo("6469736b" + "00".repeat(28));
        assertThat(GnbdExport.readAll(buffer, 0, 40)).containsExactly(new GnbdExport("disk", 60, true));
    }

    @Test
    void aBigEndianServerIsKnownByItsSwappedFlag() throws Exception {
        ByteBuf record = Unpooled.buffer().writeInt(60).writeShort(1);
        record.writeBytes("disk".getBytes(java.nio.charset.StandardCharsets.US_ASCII))
                .writeZero(30);

        assertThat(GnbdExport.readAll(record, 0, 40)).containsExactly(new GnbdExport("disk", 60, true));
    }

    @Test
    void aListOfExportsThatEndsInAPartOfARecordIsRefused() {
        assertThatThrownBy(() -> GnbdExport.readAll(garbage(50), 0, 50)).hasMessageContaining("records have 40");
    }
}
