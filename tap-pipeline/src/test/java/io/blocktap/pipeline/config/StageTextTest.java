package io.blocktap.pipeline.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.config.StageText.Setting;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** How the words of a chain are split, and written so that they split again. */
final class StageTextTest {
    @Test
    void splitsNameValueAndKeys() throws Exception {
        assertThat(StageText.parse("dump").settings()).isEmpty();
        assertThat(StageText.parse("image:disk.img").settings()).containsExactly(new Setting("", "disk.img"));
        assertThat(StageText.parse("image:disk.img,size=64M,direct").settings())
                .containsExactly(new Setting("", "disk.img"), new Setting("size", "64M"), new Setting("", "direct"));
        assertThat(StageText.parse("gnbd:host=127.0.0.1,export=a=b").settings())
                .containsExactly(new Setting("host", "127.0.0.1"), new Setting("export", "a=b"));
        assertThat(StageText.parse("x,y=1").settings()).containsExactly(new Setting("y", "1"));
        assertThat(StageText.parse("x:y=").settings()).containsExactly(new Setting("y", ""));
    }

    @Test
    void aPathWithColonsAndAnEqualsSignStaysWhole() throws Exception {
        assertThat(StageText.parse("image:/a/b:c").settings()).containsExactly(new Setting("", "/a/b:c"));
        assertThat(StageText.parse("image:/a/b=c").settings()).containsExactly(new Setting("", "/a/b=c"));
        assertThat(StageText.parse("nbd:tcp=[::1]:10809").settings())
                .containsExactly(new Setting("tcp", "[::1]:10809"));
    }

    @Test
    void aBackslashTakesAwayTheMeaning() throws Exception {
        assertThat(StageText.parse("image:a\\,b").settings()).containsExactly(new Setting("", "a,b"));
        assertThat(StageText.parse("image:a\\=b").settings()).containsExactly(new Setting("", "a=b"));
        assertThat(StageText.parse("image:a\\\\,b=c").settings())
                .containsExactly(new Setting("", "a\\"), new Setting("b", "c"));
        assertThat(StageText.parse("image:a\\b").settings()).containsExactly(new Setting("", "a\\b"));
        assertThat(StageText.parse("image:a\\").settings()).containsExactly(new Setting("", "a\\"));
    }

    @Test
    void refusesWhatHasNoNameOrAnEmptyPiece() {
        for (String wrong : List.of("", ":x", ",x=1", "Image:x", "1x", "-x", "a b")) {
            assertThatThrownBy(() -> StageText.parse(wrong))
                    .as(wrong)
                    .isInstanceOf(ConfigException.class)
                    .hasMessageContaining("name[:value][,key=value...]");
        }
        for (String wrong : List.of("x:", "x:a,", "x:a,,b=1", "x,")) {
            assertThatThrownBy(() -> StageText.parse(wrong))
                    .as(wrong)
                    .isInstanceOf(ConfigException.class)
                    .hasMessageContaining("nothing stands after");
        }
    }

    @Test
    void escapedValuesAreReadBack() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        String alphabet = "ab1,=\\: /-._\u00e4";
        for (int i = 0; i < 20_000; i++) {
            StringBuilder value = new StringBuilder();
            for (int n = 1 + random.nextInt(12); n > 0; n--) {
                value.append(alphabet.charAt(random.nextInt(alphabet.length())));
            }
            String text = value.toString();
            String escaped = StageText.escape(text);

            assertThat(StageText.parse("x:" + escaped + ",key=" + escaped).settings())
                    .as("'%s', seed %d", text, seed)
                    .containsExactly(new Setting("", text), new Setting("key", text));
            String line = "above x:" + escaped.replace(" ", "\\ ") + " below";
            assertThat(ChainParser.line(line))
                    .as("'%s', seed %d", line, seed)
                    .extracting(StageText::name)
                    .containsExactly("above", "x", "below");
            assertThat(ChainParser.line(line).get(1).settings())
                    .as("'%s', seed %d", line, seed)
                    .containsExactly(new Setting("", text));
        }
    }

    @Test
    void aLineIsSplitAtWhiteSpace() throws Exception {
        assertThat(ChainParser.line("  dump\t cow:a\n image:b "))
                .extracting(StageText::text)
                .containsExactly("dump", "cow:a", "image:b");
        assertThat(ChainParser.line("image:a\\ b")).extracting(StageText::text).containsExactly("image:a b");
        assertThatThrownBy(() -> ChainParser.line(" \n")).hasMessageContaining("an empty chain");
    }
}
