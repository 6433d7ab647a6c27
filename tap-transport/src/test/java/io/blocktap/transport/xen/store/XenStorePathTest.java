package io.blocktap.transport.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What xenstored would refuse is no path. */
class XenStorePathTest {
    @ParameterizedTest
    @ValueSource(
            strings = {"/", "/a", "/local/domain/0/backend/vbd3/1/51712", "domid", "a/b", "@releaseDomain", "/a-b_c@D9"
            })
    void takesWhatXenstoredTakes(String text) {
        assertThat(XenStorePath.of(text)).hasToString(text);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "/a/", "a/", "//", "/a//b", "/a b", "/a.b", "/a\0b", "/ä", "/a\nb", "/a:b"})
    void refusesWhatXenstoredRefuses(String text) {
        assertThatThrownBy(() -> XenStorePath.of(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("xenstore path '")
                .hasMessageNotContaining("\n");
    }

    @Test
    void lengthsAreThoseOfTheHeaderFile() {
        assertThat(XenStorePath.of("/" + "a".repeat(3071)).toString()).hasSize(3072);
        assertThat(XenStorePath.of("a".repeat(2048)).toString()).hasSize(2048);
        assertThatThrownBy(() -> XenStorePath.of("/" + "a".repeat(3072)))
                .hasMessageEndingWith("3073 characters, at most 3072 are allowed");
        assertThatThrownBy(() -> XenStorePath.of("a".repeat(2049)))
                .hasMessageEndingWith("2049 characters, at most 2048 are allowed");
    }

    @Test
    void goesDownAndUp() {
        XenStorePath root = XenStorePath.of("/");
        XenStorePath device = root.child("local").child("domain/0").child(51712);

        assertThat(device).hasToString("/local/domain/0/51712");
        assertThat(device.name()).isEqualTo("51712");
        assertThat(device.parent()).isEqualTo(XenStorePath.of("/local/domain/0"));
        assertThat(XenStorePath.of("/local").parent()).isEqualTo(root);
        assertThat(XenStorePath.of("device/vbd").parent()).isEqualTo(XenStorePath.of("device"));
        assertThatThrownBy(root::parent).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> XenStorePath.of("domid").parent()).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> XenStorePath.RELEASE_DOMAIN.child("a")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> device.child("/a")).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void knowsWhatLiesBelow() {
        XenStorePath a = XenStorePath.of("/a");

        assertThat(a.isAtOrBelow(a)).isTrue();
        assertThat(XenStorePath.of("/a/b").isAtOrBelow(a)).isTrue();
        assertThat(XenStorePath.of("/ab").isAtOrBelow(a)).isFalse();
        assertThat(a.isAtOrBelow(XenStorePath.of("/"))).isTrue();
        assertThat(a.isAtOrBelow(XenStorePath.of("/a/b"))).isFalse();
    }

    @Test
    void permissionsHaveALetterAndADomain() {
        XenStorePermission read = new XenStorePermission(XenStorePermission.Access.READ, 7);

        assertThat(read).hasToString("r7");
        assertThat(XenStorePermission.parse("r7")).isEqualTo(read);
        assertThat(XenStorePermission.parse("b0")).isEqualTo(new XenStorePermission(XenStorePermission.Access.BOTH, 0));
        for (String wrong : new String[] {"", "r", "x1", "r-1", "rr", "r99999"}) {
            assertThatThrownBy(() -> XenStorePermission.parse(wrong))
                    .as(wrong)
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }
}
