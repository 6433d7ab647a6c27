package io.blocktap.transport;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Text from outside can neither forge a line nor steer a terminal. */
class PrintableTest {
    @ParameterizedTest
    @ValueSource(strings = {"", "disk-1", "gr\u00fcn", "\u76d8", "a b'\"$"})
    void leavesPlainTextAlone(String text) {
        assertThat(Printable.of(text)).isEqualTo(text);
    }

    @ParameterizedTest
    @CsvSource({
        "10, \\u000a",
        "27, \\u001b",
        "0, \\u0000",
        "8232, \\u2028",
        "8238, \\u202e",
        "155, \\u009b",
        "55357, \\ud83d"
    })
    void escapesWhatIsNotShownAsItself(int c, String shown) {
        assertThat(Printable.of("a" + (char) c + "b")).isEqualTo("a" + shown + "b");
    }

    @Test
    void cutsLongText() {
        assertThat(Printable.of("x".repeat(100))).hasSize(100);
        assertThat(Printable.of("x".repeat(4096))).isEqualTo("x".repeat(100) + "... (4096 characters)");
    }
}
