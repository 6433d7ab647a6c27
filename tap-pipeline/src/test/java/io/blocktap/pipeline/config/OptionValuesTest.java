package io.blocktap.pipeline.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Options are read strictly, and a mistake is answered with what would be right. */
final class OptionValuesTest {
    private static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.required("file", OptionType.PATH, "the image").first(),
            OptionSpec.optional("size", OptionType.SIZE, "creates it"),
            OptionSpec.optional("direct", OptionType.SWITCH, "bypasses the cache"),
            OptionSpec.optional("timeout", OptionType.DURATION, "how long").withDefault("5s"),
            OptionSpec.optional("depth", OptionType.NUMBER, "how many"),
            OptionSpec.optional("peer", OptionType.HOST_PORT, "where"),
            OptionSpec.optional("tag", OptionType.TEXT, "a word"),
            OptionSpec.choice("io", "auto", List.of("auto", "uring", "threads"), "how"));

    private static OptionValues parse(String text) throws ConfigException {
        return OptionValues.parse(StageText.parse(text), OPTIONS);
    }

    private static void refuses(String text, String... parts) {
        assertThatThrownBy(() -> parse(text))
                .as(text)
                .isInstanceOf(ConfigException.class)
                .hasMessageContainingAll(parts)
                .hasMessageNotContaining("\n");
    }

    @Test
    void readsEveryType() throws Exception {
        OptionValues values =
                parse("image:a/b,size=64M,direct,timeout=10ms,depth=-3,peer=[::1]:10809,tag=x\\,y,io=uring");

        assertThat(values.path("file")).isEqualTo(Path.of("a/b"));
        assertThat(values.sizeBytes("size")).isEqualTo(64 << 20);
        assertThat(values.isOn("direct")).isTrue();
        assertThat(values.duration("timeout")).isEqualTo(Duration.ofMillis(10));
        assertThat(values.number("depth")).isEqualTo(-3);
        assertThat(values.hostPort("peer")).isEqualTo(InetSocketAddress.createUnresolved("::1", 10809));
        assertThat(values.text("tag")).isEqualTo("x,y");
        assertThat(values.choice("io")).isEqualTo("uring");
    }

    @Test
    void fillsDefaultsIn() throws Exception {
        OptionValues values = parse("image:a");

        assertThat(values.duration("timeout")).isEqualTo(Duration.ofSeconds(5));
        assertThat(values.choice("io")).isEqualTo("auto");
        assertThat(values.isOn("direct")).isFalse();
        assertThat(values.has("size")).isFalse();
        assertThatThrownBy(() -> values.sizeBytes("size")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> values.text("size")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> values.text("nothing")).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void theFirstValueMayHaveItsKeyToo() throws Exception {
        assertThat(parse("image:file=a").path("file")).isEqualTo(Path.of("a"));
        assertThat(parse("image:direct,file=a").isOn("direct")).isTrue();
        assertThat(parse("image:io=threads,file=direct").path("file")).isEqualTo(Path.of("direct"));
        assertThat(parse("image:a,direct=off").isOn("direct")).isFalse();
        assertThat(parse("image:file").path("file")).isEqualTo(Path.of("file"));
    }

    @Test
    void aMistakeIsAnsweredWithWhatWouldBeRight() {
        refuses("image", "image needs file", "the image", "image:FILE");
        refuses("image:a,sise=1", "no option 'sise'", "did you mean size?");
        refuses("image:a,xyzzy=1", "no option 'xyzzy'", "it takes file, size, direct");
        refuses("image:a,b", "'b' has no key", "key=value");
        refuses("image:a,dierct", "'dierct' has no key", "did you mean direct?");
        refuses("image:a,size=1,size=2", "size is given twice");
        refuses("image:a,file=b", "file is given twice");
        refuses("image:a,io=urng", "io=urng", "did you mean uring?", "auto, uring, threads");
        refuses("image:a,io=", "one of auto, uring, threads");
        refuses("image:a,direct=maybe", "write on or off");
        refuses("image:a,depth=many", "not a whole number");
        refuses("image:a,depth=99999999999999999999", "not a whole number");
        refuses("image:a,timeout=5", "write digits and ns, us, ms, s or min");
        refuses("image:a,size=64X", "not a size", "64M");
        refuses("image:a,size=-1", "not a size");
        refuses("image:a,size=8192P", "too large");
        refuses("image:a,size=9999999999999999999", "too large");
        refuses("image:file=", "a path can not be empty");
        refuses("image:a,peer=host", "not HOST:PORT");
        refuses("image:a,peer=host:70000", "not HOST:PORT");
        refuses("image:a,peer=:1", "not HOST:PORT");
        refuses("image:a,peer=::1:10809", "in brackets");
    }

    @Test
    void aStageWithoutOptionsSaysSo() {
        assertThatThrownBy(() -> OptionValues.parse(StageText.parse("x:a=1"), List.of()))
                .hasMessageContaining("x takes no options");
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0",
        "512, 512",
        "512B, 512",
        "1k, 1024",
        "64M, 67108864",
        "64MiB, 67108864",
        "3G, 3221225472",
        "1T, 1099511627776",
        "8191P, 9222246136947933184",
        "9223372036854775807, 9223372036854775807"
    })
    void readsSizes(String text, long bytes) throws Exception {
        assertThat(OptionParser.size(text)).isEqualTo(bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "M", "1.5G", " 1", "1 M", "0x10", "1MM", "1E", "8192P", "18446744073709551616"})
    void refusesWhatIsNoSize(String text) {
        assertThatThrownBy(() -> OptionParser.size(text)).isInstanceOf(ConfigException.class);
    }

    @ParameterizedTest
    @CsvSource({"7ns, 7", "3us, 3000", "10ms, 10000000", "5s, 5000000000", "2min, 120000000000"})
    void readsDurations(String text, long nanos) throws Exception {
        assertThat(OptionParser.duration(text)).isEqualTo(Duration.ofNanos(nanos));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "5", "ms", "-1s", "1.5s", "1h", "5 s", "9999999999999s"})
    void refusesWhatIsNoDuration(String text) {
        assertThatThrownBy(() -> OptionParser.duration(text)).isInstanceOf(ConfigException.class);
    }
}
