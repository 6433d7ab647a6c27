package io.blocktap.pipeline.codec.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What clients say while they haggle. */
final class NbdOptionDecoderTest {
    private final NbdOptionDecoder decoder = new NbdOptionDecoder();
    private final ByteBuf in = Unpooled.buffer().writeInt(3);

    private static ByteBuf option(ByteBuf target, int number, byte[] data) {
        return target.writeLong(Nbd.IHAVEOPT)
                .writeInt(number)
                .writeInt(data.length)
                .writeBytes(data);
    }

    private static byte[] export(long nameLength, byte[] name, int count, int... types) {
        ByteBuf data =
                Unpooled.buffer().writeInt((int) nameLength).writeBytes(name).writeShort(count);
        for (int type : types) {
            data.writeShort(type);
        }
        byte[] bytes = new byte[data.readableBytes()];
        data.readBytes(bytes);
        return bytes;
    }

    private static byte[] export(String name, int... types) {
        byte[] utf8 = name.getBytes(StandardCharsets.UTF_8);
        return export(utf8.length, utf8, types.length, types);
    }

    private void wrong(int number, byte[] data, int replyType) throws Exception {
        option(in, number, data);
        NbdOption option = decoder.next(in);
        assertThat(option.number()).isEqualTo(number);
        assertThat(option.request())
                .isInstanceOfSatisfying(
                        NbdOption.Wrong.class,
                        wrong -> assertThat(wrong.replyType()).isEqualTo(replyType));
        assertThat(in.isReadable()).isFalse();
    }

    @Test
    void decodesEveryOption() throws Exception {
        option(in, Nbd.OPT_LIST, new byte[0]);
        option(in, Nbd.OPT_INFO, export("größe", 3, 1, 3, 999));
        option(in, Nbd.OPT_GO, export(""));
        option(in, Nbd.OPT_EXPORT_NAME, "x y".getBytes(StandardCharsets.UTF_8));
        option(in, Nbd.OPT_ABORT, new byte[0]);
        in.writeByte(77);

        List<NbdOption> options = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            options.add(decoder.next(in));
        }

        assertThat(options)
                .containsExactly(
                        new NbdOption(Nbd.OPT_LIST, new NbdOption.List()),
                        new NbdOption(Nbd.OPT_INFO, new NbdOption.Export("größe", Set.of(1, 3, 999))),
                        new NbdOption(Nbd.OPT_GO, new NbdOption.Export("", Set.of())),
                        new NbdOption(Nbd.OPT_EXPORT_NAME, new NbdOption.Export("x y", Set.of())),
                        new NbdOption(Nbd.OPT_ABORT, new NbdOption.Abort()));
        assertThat(in.readableBytes()).as("what follows stays where it is").isEqualTo(1);
        assertThat(decoder.isNoZeroes()).isTrue();
    }

    @Test
    void answersWhatItDoesNotKnowAndGoesOn() throws Exception {
        wrong(Nbd.OPT_STARTTLS, new byte[0], Nbd.REP_ERR_UNSUP);
        wrong(Nbd.OPT_STRUCTURED_REPLY, new byte[0], Nbd.REP_ERR_UNSUP);
        wrong(10, new byte[NbdOptionDecoder.MAX_SKIPPED_BYTES], Nbd.REP_ERR_UNSUP);
        wrong(-1, new byte[5], Nbd.REP_ERR_UNSUP);
        wrong(0, new byte[0], Nbd.REP_ERR_UNSUP);
    }

    @Test
    void answersWhatIsMalformedAndGoesOn() throws Exception {
        byte[] name = new byte[Nbd.MAX_NAME_BYTES + 1];
        wrong(Nbd.OPT_LIST, new byte[1], Nbd.REP_ERR_INVALID);
        wrong(Nbd.OPT_GO, new byte[5], Nbd.REP_ERR_INVALID);
        wrong(Nbd.OPT_GO, export(4, new byte[3], 0), Nbd.REP_ERR_INVALID);
        wrong(Nbd.OPT_GO, export(0xffff_ffffL, new byte[3], 0), Nbd.REP_ERR_INVALID);
        wrong(Nbd.OPT_GO, export(0, new byte[0], 2, 3), Nbd.REP_ERR_INVALID);
        wrong(Nbd.OPT_GO, export(0, new byte[0], 1, 3, 3), Nbd.REP_ERR_INVALID);
        wrong(Nbd.OPT_INFO, export(2, new byte[] {(byte) 0xc3, 0x28}, 0), Nbd.REP_ERR_INVALID);
        wrong(Nbd.OPT_GO, export(name.length, name, 0), Nbd.REP_ERR_TOO_BIG);
        wrong(Nbd.OPT_GO, new byte[NbdOptionDecoder.MAX_OPTION_BYTES + 1], Nbd.REP_ERR_TOO_BIG);
    }

    private void fatal(String message) {
        assertThatThrownBy(() -> decoder.next(in))
                .isInstanceOf(NbdProtocolException.class)
                .hasMessageContaining(message);
    }

    @Test
    void endsAtUnknownClientFlags() {
        in.setInt(0, 4);
        fatal("unknown client flags 0x4");
    }

    @Test
    void endsAtAnotherMagic() {
        in.writeZero(16);
        fatal("an option begins with 0x0");
    }

    @Test
    void endsAtDataThatAreTooLongToSkip() {
        in.writeLong(Nbd.IHAVEOPT).writeInt(99).writeInt(-1);
        fatal("4294967295 bytes");
    }

    @Test
    void endsAtAnExportNameThatIsTooLongOrNoText() {
        option(in, Nbd.OPT_EXPORT_NAME, new byte[Nbd.MAX_NAME_BYTES + 1]);
        fatal("EXPORT_NAME");
    }

    @Test
    void endsAtTooManyOptions() throws Exception {
        for (int i = 0; i < NbdOptionDecoder.MAX_OPTIONS; i++) {
            option(in, Nbd.OPT_LIST, new byte[0]);
            assertThat(decoder.next(in)).isNotNull();
        }
        option(in, Nbd.OPT_LIST, new byte[0]);
        fatal("more than 1024 options");
    }

    @Test
    void decodesTheSameHoweverTheBytesAreSplit() throws Exception {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 200; round++) {
            ByteBuf all = Unpooled.buffer().writeInt(round & 3);
            int count = 1 + random.nextInt(6);
            for (int i = 0; i < count; i++) {
                randomOption(all, random);
            }
            List<NbdOption> whole = decodeIn(all.duplicate(), all.readableBytes(), random);
            List<NbdOption> split = decodeIn(all.duplicate(), 1 + random.nextInt(40), random);
            assertThat(split)
                    .as("seed %d, round %d", seed, round)
                    .isEqualTo(whole)
                    .hasSize(count);
        }
    }

    private static void randomOption(ByteBuf target, Random random) {
        byte[] noise = new byte[random.nextInt(100)];
        random.nextBytes(noise);
        switch (random.nextInt(6)) {
            case 0 -> option(target, Nbd.OPT_GO, export("disk" + random.nextInt(), random.nextInt(5), 3));
            case 1 -> option(target, Nbd.OPT_LIST, new byte[random.nextInt(2)]);
            case 2 -> option(target, Nbd.OPT_INFO, noise);
            case 3 -> option(target, 100 + random.nextInt(1000), noise);
            case 4 -> option(target, Nbd.OPT_INFO, new byte[NbdOptionDecoder.MAX_OPTION_BYTES + 1]);
            default -> option(target, Nbd.OPT_EXPORT_NAME, "name".getBytes(StandardCharsets.UTF_8));
        }
    }

    private static List<NbdOption> decodeIn(ByteBuf bytes, int most, Random random) throws Exception {
        NbdOptionDecoder fresh = new NbdOptionDecoder();
        List<NbdOption> options = new ArrayList<>();
        ByteBuf arrived = Unpooled.buffer();
        while (bytes.isReadable()) {
            arrived.writeBytes(bytes, Math.min(bytes.readableBytes(), 1 + random.nextInt(most)));
            NbdOption option;
            while ((option = fresh.next(arrived)) != null) {
                options.add(option);
            }
        }
        assertThat(arrived.isReadable()).isFalse();
        return options;
    }
}
