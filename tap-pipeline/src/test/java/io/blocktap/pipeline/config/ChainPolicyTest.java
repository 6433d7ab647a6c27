package io.blocktap.pipeline.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Nothing that a pattern does not say is allowed, however the path is written. */
final class ChainPolicyTest {
    private static final List<OptionSpec> IMAGE = List.of(
            OptionSpec.required("file", OptionType.PATH, "the file").first(),
            OptionSpec.optional("size", OptionType.SIZE, "make it"),
            OptionSpec.optional("read-only", OptionType.SWITCH, "read only"),
            OptionSpec.optional("tag", OptionType.TEXT, "a word"));

    private static boolean allows(String policy, String word) throws ConfigException {
        return ChainPolicy.parse(policy).allows(StageText.parse(word), IMAGE);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "image:/srv/vm/* | image:/srv/vm/a.img | true",
                "image:/srv/vm/* | image:file=/srv/vm/a.img | true",
                "image:/srv/vm/* | image:/srv/vm//a.img | true",
                "image:/srv/vm/* | image:/srv/vm/.hidden | true",
                "image:/srv/vm/* | image:/srv/vm/a/b.img | false",
                "image:/srv/vm/* | image:/srv/vm | false",
                "image:/srv/vm/* | image:/srv/vm/ | false",
                "image:/srv/vm/* | image:/srv/vm/../../etc/shadow | false",
                "image:/srv/vm/* | image:/srv/vm/.. | false",
                "image:/srv/vm/* | image:/srv/vm/. | false",
                "image:/srv/vm/* | image:/srv/./vm/a.img | false",
                "image:/srv/vm/* | image:/srv/vmx/a.img | false",
                "image:/srv/vm/* | image:srv/vm/a.img | false",
                "image:/srv/vm/* | image:../srv/vm/a.img | false",
                "image:/srv/vm/* | image:/srv/vm/a.img,size=1T | false",
                "image:/srv/vm/* | image:/srv/vm/a.img,read-only | false",
                "image:/srv/vm/* | other:/srv/vm/a.img | false",
                "image:/srv/vm/** | image:/srv/vm/a/b.img | true",
                "image:/srv/vm/** | image:/srv/vm/a/../../../etc/shadow | false",
                "image:/srv/*/disk.img | image:/srv/g1/disk.img | true",
                "image:/srv/*/disk.img | image:/srv/g1/x/disk.img | false",
                "image:/srv/a.img | image:/srv/a.img | true",
                "image:/srv/a.img | image:/srv/aximg | false",
                "image:/srv/*,read-only=on | image:/srv/a.img,read-only | true",
                "image:/srv/*,read-only=on | image:/srv/a.img | false",
                "image:/srv/*,read-only=on | image:/srv/a.img,read-only=off | false",
                "image:/srv/*,size=* | image:/srv/a.img | true",
                "image:/srv/*,size=* | image:/srv/a.img,size=1G | true",
                "image:/srv/*,tag=a* | image:/srv/a.img,tag=a/b | true",
                "image:/srv/*,tag=a* | image:/srv/a.img,tag=b | false",
                "image:/a/* image:/b/* | image:/b/x | true",
                "image:/a/* image:/b/* | image:/c/x | false",
            })
    void allows(String policy, String word, boolean expected) throws ConfigException {
        assertThat(allows(policy, word)).isEqualTo(expected);
    }

    @Test
    void aNameWithALineBreakIsOneName() throws ConfigException {
        assertThat(allows("image:/srv/*", "image:/srv/a\nb")).isTrue();
        assertThat(allows("image:/srv/*.img", "image:/etc/shadow\n/srv/a.img")).isFalse();
    }

    @Test
    void allowsNothingUnlessTold() throws ConfigException {
        assertThat(ChainPolicy.NOTHING.isEmpty()).isTrue();
        assertThat(ChainPolicy.NOTHING.allows(StageText.parse("image:/srv/a.img"), IMAGE))
                .isFalse();
    }

    @Test
    void refusesWhatIsNoPattern() {
        assertThatThrownBy(() -> ChainPolicy.parse(" ")).hasMessageContaining("an empty chain");
        assertThatThrownBy(() -> ChainPolicy.parse("*")).hasMessageContaining("a stage is written name[:value]");
    }
}
