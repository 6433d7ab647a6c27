package io.blocktap.pipeline.codec.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What the server says before the transmission, byte by byte. */
final class NbdOptionReplyTest {
    private static final String HEAD = "0003e889045565a9";
    private static final NbdExport EXPORT = NbdExport.of("né", "memory", Geometry.ofSize(0x10000, Feature.FLUSH));

    private final ByteBuf out = Unpooled.buffer();

    private String written() {
        return ByteBufUtil.hexDump(out);
    }

    @Test
    void greets() {
        NbdOptionReply.greeting(out);

        assertThat(written()).isEqualTo("4e42444d41474943" + "49484156454f5054" + "0003");
    }

    @Test
    void acknowledgesAndRefuses() {
        NbdOptionReply.ack(out, 7);
        NbdOptionReply.error(out, 8, Nbd.REP_ERR_UNSUP, "no");

        assertThat(written())
                .isEqualTo(HEAD + "00000007" + "00000001" + "00000000" + HEAD + "00000008" + "80000001" + "00000002"
                        + "6e6f");
    }

    @Test
    void lists() {
        NbdOptionReply.server(out, 3, "né", "x");

        assertThat(written()).isEqualTo(HEAD + "00000003" + "00000002" + "00000008" + "00000003" + "6ec3a9" + "78");
    }

    @Test
    void tellsSizeAndBlocksToEverybody() {
        NbdOptionReply.infos(out, 6, EXPORT, new NbdOption.Export("", Set.of()));

        assertThat(written())
                .isEqualTo(HEAD + "00000006" + "00000003" + "0000000c" + "0000" + "0000000000010000" + "0005" + HEAD
                        + "00000006" + "00000003" + "0000000e" + "0003" + "00000001" + "00001000" + "02000000");
    }

    @Test
    void tellsNameAndDescriptionToWhoAsks() {
        NbdOptionReply.infos(out, 7, EXPORT, new NbdOption.Export("", Set.of(1, 2, 77)));

        assertThat(written())
                .endsWith(HEAD + "00000007" + "00000003" + "00000005" + "0001" + "6ec3a9" + HEAD + "00000007"
                        + "00000003" + "00000008" + "0002" + "6d656d6f7279");
    }

    @Test
    void answersTheOldOptionWithAndWithoutPadding() {
        NbdOptionReply.exportName(out, EXPORT, true);
        assertThat(written()).isEqualTo("0000000000010000" + "0005");

        out.clear();
        NbdOptionReply.exportName(out, EXPORT, false);
        assertThat(written()).isEqualTo("0000000000010000" + "0005" + "00".repeat(124));
    }
}
