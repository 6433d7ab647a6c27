package io.blocktap.pipeline.codec.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The header of a request, and what a strict server refuses. */
final class NbdRequestTest {
    private static final long SIZE = 1 << 20;
    private static final Set<Feature> EVERYTHING = Set.of(
            Feature.FLUSH,
            Feature.FUA,
            Feature.DISCARD,
            Feature.WRITE_ZEROES,
            Feature.FAST_ZERO,
            Feature.MULTI_CONNECTION);
    private static final Geometry FULL = Geometry.ofSize(SIZE).withFeatures(EVERYTHING);
    private static final Geometry PLAIN = Geometry.ofSize(SIZE);
    private static final Geometry READ_ONLY = Geometry.ofSize(SIZE, Feature.READ_ONLY, Feature.FLUSH);
    private static final Geometry BLOCKS = FULL.withMinimumIoBytes(4096);
    private static final Geometry HUGE = FULL.withSizeBytes(1L << 40);
    private static final long MAX = Nbd.MAX_PAYLOAD_BYTES;
    private static final long ALL = 0xffff_ffffL;

    private static NbdExport export(Geometry geometry) {
        return NbdExport.of("", "", geometry);
    }

    private static NbdRequest request(int flags, int type, long offset, long length) {
        ByteBuf bytes = Unpooled.buffer()
                .writeByte(0)
                .writeInt(Nbd.REQUEST_MAGIC)
                .writeShort(flags)
                .writeShort(type)
                .writeLong(0x0123456789abcdefL)
                .writeLong(offset)
                .writeInt((int) length);
        NbdRequest request = new NbdRequest();
        assertThat(request.read(bytes, 1)).isTrue();
        return request;
    }

    @Test
    void readsEveryField() {
        NbdRequest request = request(1, Nbd.CMD_WRITE, 0x1122334455667788L, ALL);

        assertThat(NbdRequest.BYTES).isEqualTo(28);
        assertThat(request.type()).isEqualTo(Nbd.CMD_WRITE);
        assertThat(request.cookie()).isEqualTo(0x0123456789abcdefL);
        assertThat(request.offsetBytes()).isEqualTo(0x1122334455667788L);
        assertThat(request.lengthBytes()).isEqualTo(ALL);
        assertThat(request.payloadBytes()).isEqualTo(ALL);
        assertThat(request(0, Nbd.CMD_READ, 0, 5).payloadBytes()).isZero();
        assertThat(request(0xffff, 0xffff, 0, 5).type()).isEqualTo(0xffff);
    }

    @Test
    void refusesAnotherMagic() {
        assertThat(new NbdRequest().read(Unpooled.wrappedBuffer(new byte[NbdRequest.BYTES]), 0))
                .isFalse();
    }

    static Stream<Arguments> rules() {
        return Stream.of(
                // what is fine
                rule("read", FULL, 0, Nbd.CMD_READ, 0, SIZE, 0),
                rule("read the last byte", FULL, 0, Nbd.CMD_READ, SIZE - 1, 1, 0),
                rule("nothing at the end", FULL, 0, Nbd.CMD_READ, SIZE, 0, 0),
                rule("write", FULL, 0, Nbd.CMD_WRITE, 7, 9, 0),
                rule("write FUA", FULL, 1, Nbd.CMD_WRITE, 7, 9, 0),
                rule("read FUA means nothing", FULL, 1, Nbd.CMD_READ, 7, 9, 0),
                rule("flush", FULL, 0, Nbd.CMD_FLUSH, 0, 0, 0),
                rule("trim FUA", FULL, 1, Nbd.CMD_TRIM, 0, 512, 0),
                rule("trim more than a payload", HUGE, 0, Nbd.CMD_TRIM, 0, ALL, 0),
                rule("zeroes", FULL, 0, Nbd.CMD_WRITE_ZEROES, 0, SIZE, 0),
                rule("zeroes with all flags", FULL, 1 | 2 | 16, Nbd.CMD_WRITE_ZEROES, 0, 1, 0),
                rule("zeroes more than a payload", HUGE, 0, Nbd.CMD_WRITE_ZEROES, 0, ALL, 0),
                rule("read-only can be read", READ_ONLY, 0, Nbd.CMD_READ, 0, 512, 0),
                rule("read-only can be flushed", READ_ONLY, 0, Nbd.CMD_FLUSH, 0, 0, 0),
                rule("whole blocks", BLOCKS, 0, Nbd.CMD_WRITE, 4096, 8192, 0),
                rule("largest payload", HUGE, 0, Nbd.CMD_WRITE, 0, MAX, 0),
                // past the end
                rule("write past the end", FULL, 0, Nbd.CMD_WRITE, SIZE - 1, 2, Nbd.ENOSPC),
                rule("zeroes past the end", FULL, 0, Nbd.CMD_WRITE_ZEROES, SIZE, 1, Nbd.ENOSPC),
                rule("read past the end", FULL, 0, Nbd.CMD_READ, SIZE - 1, 2, Nbd.EINVAL),
                rule("trim past the end", FULL, 0, Nbd.CMD_TRIM, SIZE - 1, 2, Nbd.EINVAL),
                rule("nothing past the end", FULL, 0, Nbd.CMD_READ, SIZE + 1, 0, Nbd.EINVAL),
                rule("read at the largest offset", FULL, 0, Nbd.CMD_READ, Long.MAX_VALUE, ALL, Nbd.EINVAL),
                rule("read at 2^64-1", FULL, 0, Nbd.CMD_READ, -1, 2, Nbd.EINVAL),
                rule("write at 2^63", FULL, 0, Nbd.CMD_WRITE, Long.MIN_VALUE, 1, Nbd.ENOSPC),
                rule("write at 2^64-1 that wraps around", FULL, 0, Nbd.CMD_WRITE, -1, 2, Nbd.ENOSPC),
                // not for this export
                rule("write, read-only", READ_ONLY, 0, Nbd.CMD_WRITE, 0, 512, Nbd.EPERM),
                rule("trim, read-only", READ_ONLY, 0, Nbd.CMD_TRIM, 0, 512, Nbd.EPERM),
                rule("zeroes, read-only", READ_ONLY, 0, Nbd.CMD_WRITE_ZEROES, 0, 512, Nbd.EPERM),
                rule("flush, not offered", PLAIN, 0, Nbd.CMD_FLUSH, 0, 0, Nbd.EINVAL),
                rule("trim, not offered", PLAIN, 0, Nbd.CMD_TRIM, 0, 512, Nbd.EINVAL),
                rule("zeroes, not offered", PLAIN, 0, Nbd.CMD_WRITE_ZEROES, 0, 512, Nbd.EINVAL),
                rule("cache, never offered", FULL, 0, Nbd.CMD_CACHE, 0, 512, Nbd.EINVAL),
                rule("FUA, not offered", PLAIN, 1, Nbd.CMD_WRITE, 0, 512, Nbd.EINVAL),
                rule("FAST_ZERO, not offered", slow(), 16, Nbd.CMD_WRITE_ZEROES, 0, 512, Nbd.EINVAL),
                // malformed
                rule("unknown command", FULL, 0, 99, 0, 512, Nbd.EINVAL),
                rule("block status without a context", FULL, 0, 7, 0, 512, Nbd.EINVAL),
                rule("unknown flag", FULL, 1 << 15, Nbd.CMD_READ, 0, 512, Nbd.EINVAL),
                rule("DF without structured replies", FULL, 4, Nbd.CMD_READ, 0, 512, Nbd.EINVAL),
                rule("NO_HOLE of a write", FULL, 2, Nbd.CMD_WRITE, 0, 512, Nbd.EINVAL),
                rule("FAST_ZERO of a trim", FULL, 16, Nbd.CMD_TRIM, 0, 512, Nbd.EINVAL),
                rule("PAYLOAD_LEN of a simple write", FULL, 32, Nbd.CMD_WRITE, 0, 512, Nbd.EINVAL),
                rule("flush with a range", FULL, 0, Nbd.CMD_FLUSH, 0, 512, Nbd.EINVAL),
                rule("flush with an offset", FULL, 0, Nbd.CMD_FLUSH, 512, 0, Nbd.EINVAL),
                rule("unaligned offset", BLOCKS, 0, Nbd.CMD_READ, 512, 4096, Nbd.EINVAL),
                rule("unaligned length", BLOCKS, 0, Nbd.CMD_WRITE, 0, 512, Nbd.EINVAL),
                rule("unaligned trim", BLOCKS, 0, Nbd.CMD_TRIM, 1, 4096, Nbd.EINVAL),
                rule("read more than a payload", HUGE, 0, Nbd.CMD_READ, 0, MAX + 1, Nbd.EINVAL),
                rule("write more than a payload", HUGE, 0, Nbd.CMD_WRITE, 0, MAX + 1, Nbd.EINVAL));
    }

    private static Geometry slow() {
        return Geometry.ofSize(SIZE, Feature.WRITE_ZEROES);
    }

    private static Arguments rule(
            String name, Geometry geometry, int flags, int type, long offset, long length, int errno) {
        return Arguments.of(name, geometry, flags, type, offset, length, errno);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("rules")
    void checks(String name, Geometry geometry, int flags, int type, long offset, long length, int errno) {
        assertThat(request(flags, type, offset, length).check(export(geometry), geometry.sizeBytes()))
                .isEqualTo(errno);
    }

    @Test
    void advertisesWhatTheDiskHas() {
        assertThat(export(FULL).flags()).isEqualTo(1 | 4 | 8 | 32 | 64 | 256 | 2048);
        assertThat(export(PLAIN).flags()).isEqualTo(1);
        assertThat(export(READ_ONLY).flags()).isEqualTo(1 | 2 | 4);
        assertThat(export(Geometry.ofSize(SIZE, Feature.ROTATIONAL)).flags()).isEqualTo(1 | 16);
        assertThat(export(FULL.withFeatures(Set.of(Feature.READ_ONLY, Feature.FUA, Feature.DISCARD)))
                        .flags())
                .isEqualTo(1 | 2);
        assertThat(export(BLOCKS).minimumBlockBytes()).isEqualTo(4096);
        assertThat(export(FULL).preferredBlockBytes()).isEqualTo(4096);
    }

    @Test
    void mapsEveryStatus() {
        assertThat(NbdStatus.errno(BlockStatus.OK, BlockOp.READ)).isZero();
        assertThat(NbdStatus.errno(BlockStatus.IO_ERROR, BlockOp.READ)).isEqualTo(5);
        assertThat(NbdStatus.errno(BlockStatus.UNSUPPORTED, BlockOp.WRITE_ZEROES))
                .isEqualTo(95);
        assertThat(NbdStatus.errno(BlockStatus.NO_SPACE, BlockOp.WRITE)).isEqualTo(28);
        assertThat(NbdStatus.errno(BlockStatus.READ_ONLY, BlockOp.WRITE)).isEqualTo(1);
        assertThat(NbdStatus.errno(BlockStatus.OUT_OF_RANGE, BlockOp.WRITE)).isEqualTo(28);
        assertThat(NbdStatus.errno(BlockStatus.OUT_OF_RANGE, BlockOp.WRITE_ZEROES))
                .isEqualTo(28);
        assertThat(NbdStatus.errno(BlockStatus.OUT_OF_RANGE, BlockOp.READ)).isEqualTo(22);
        assertThat(NbdStatus.errno(BlockStatus.OUT_OF_RANGE, BlockOp.DISCARD)).isEqualTo(22);
        assertThat(NbdStatus.errno(BlockStatus.INVALID, BlockOp.READ)).isEqualTo(22);
        assertThat(NbdStatus.errno(BlockStatus.SHUTDOWN, BlockOp.FLUSH)).isEqualTo(108);
    }

    @Test
    void writesReplies() {
        ByteBuf reply = Unpooled.buffer(32).writeZero(32);

        NbdReply.set(reply, 3, Nbd.EIO, 0x0123456789abcdefL);

        assertThat(NbdReply.BYTES).isEqualTo(16);
        assertThat(reply.getInt(3)).isEqualTo(0x67446698);
        assertThat(reply.getInt(7)).isEqualTo(5);
        assertThat(reply.getLong(11)).isEqualTo(0x0123456789abcdefL);
    }
}
