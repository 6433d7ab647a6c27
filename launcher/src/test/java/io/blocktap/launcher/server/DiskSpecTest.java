package io.blocktap.launcher.server;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class DiskSpecTest {
    @Test
    void splitsAtWhiteSpace() {
        assertThat(DiskSpec.split("  dump\timage:a.img \n")).containsExactly("dump", "image:a.img");
        assertThat(DiskSpec.split(" ")).isEmpty();
    }

    @Test
    void keepsEscapedSpacesAndOtherBackslashes() {
        assertThat(DiskSpec.split("image:a\\ b.img dump:x\\,y")).containsExactly("image:a b.img", "dump:x\\,y");
    }

    @Test
    void saysWhereWordsStart() {
        assertThat(DiskSpec.splitAt(" a bc")).containsExactly(new DiskSpec.Piece("a", 1), new DiskSpec.Piece("bc", 3));
    }
}
