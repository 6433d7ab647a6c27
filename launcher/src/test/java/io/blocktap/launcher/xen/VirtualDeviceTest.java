package io.blocktap.launcher.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.config.ConfigException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The numbers are those of Xen's xen-vbd-interface. */
final class VirtualDeviceTest {
    @ParameterizedTest
    @CsvSource({
        "xvda, 51712",
        "xvda1, 51713",
        "xvdb, 51728",
        "xvdp15, 51967",
        "xvdq, 268439552",
        "xvda16, 268435472",
        "xvdaa, 268442112",
        "sda, 2048",
        "sdb3, 2067",
        "hda, 768",
        "hdb1, 833",
        "hdc, 5632",
        "hdd2, 5698",
    })
    void namesAndNumbersAreTheSameDevice(String name, int number) throws ConfigException {
        assertThat(VirtualDevice.parse(name).number()).isEqualTo(number);
        assertThat(VirtualDevice.parse(Integer.toString(number)).name()).isEqualTo(name);
    }

    @Test
    void aNumberOfNoKnownDiskIsItsOwnName() throws ConfigException {
        assertThat(VirtualDevice.parse("12345").name()).isEqualTo("12345");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "xvd", "xvda999", "vda", "sdq", "hde", "XVDA", "0", "-1", "xvda/../b", "9999999999"})
    void refusesWhatIsNoDevice(String text) {
        assertThatThrownBy(() -> VirtualDevice.parse(text))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("'" + text + "' is no virtual device; write xvda");
    }
}
