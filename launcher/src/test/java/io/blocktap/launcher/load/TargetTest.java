package io.blocktap.launcher.load;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.launcher.load.Target.Protocol;
import io.blocktap.pipeline.config.ConfigException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class TargetTest {
    @ParameterizedTest
    @CsvSource(
            quoteCharacter = '`',
            delimiter = '|',
            value = {
                "nbd+unix:///?socket=/a%20b+c.sock | NBD_UNIX | /a b+c.sock | ``",
                "nbd+unix:///vm%201?x=y&socket=/a.sock | NBD_UNIX | /a.sock | vm 1",
                "nbd://127.0.0.1:99/vm1 | NBD_TCP | 127.0.0.1:99 | vm1",
                "nbd://[::1] | NBD_TCP | [::1]:10809 | ``",
                "loopback:unix=/a.sock,disk=vm1 | LOOPBACK | /a.sock | vm1",
                "loopback:/a.sock | LOOPBACK | /a.sock | ``",
            })
    void readsWhatTapsPrint(String uri, Protocol protocol, String place, String disk) throws ConfigException {
        assertThat(Target.parse(uri)).isEqualTo(new Target(protocol, place, disk));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "http://a/b",
                "nbd+unix:///a",
                "nbd:",
                "loopback:disk=a",
                "loopback:/a,x=y",
                "a b",
                "nbd+unix:///?a=b"
            })
    void refusesTheRest(String uri) {
        assertThatThrownBy(() -> Target.parse(uri))
                .isInstanceOf(ConfigException.class)
                .message()
                .startsWith("'" + uri + "'")
                .contains("write nbd+unix:///DISK?socket=PATH");
    }

    @Test
    void resultsSurviveTheirLine() {
        OpResult result = new OpResult(io.blocktap.pipeline.BlockOp.READ, 1, 2, 3, 0.25, 4.5, 5.5, 6.5, 7.5, 8.125);

        assertThat(OpResult.parse(result.toLine())).isEqualTo(result);
        assertThat(result.iops()).isEqualTo(4);
    }
}
