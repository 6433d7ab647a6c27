package io.blocktap.pipeline.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Which word a user probably meant. */
final class SuggestionsTest {
    private static final List<String> STAGES =
            List.of("image", "memory", "null", "dump", "cow", "crypt", "gnbd", "nbd");

    @Test
    void findsTypingMistakes() {
        assertThat(Suggestions.closest("iamge", STAGES)).hasValue("image");
        assertThat(Suggestions.closest("imag", STAGES)).hasValue("image");
        assertThat(Suggestions.closest("dmup", STAGES)).hasValue("dump");
        assertThat(Suggestions.closest("memroy", STAGES)).hasValue("memory");
        assertThat(Suggestions.closest("me", STAGES)).hasValue("memory");
        assertThat(Suggestions.closest("nbdd", STAGES)).hasValue("nbd");
    }

    @Test
    void isSilentAboutWordsThatAreFarOff() {
        assertThat(Suggestions.closest("qcow2-overlay", STAGES)).isEmpty();
        assertThat(Suggestions.closest("", STAGES)).isEmpty();
        assertThat(Suggestions.closest("zzzz", STAGES)).isEmpty();
        assertThat(Suggestions.closest("image", List.of())).isEmpty();
    }

    @Test
    void distanceIsADistance() {
        assertThat(Suggestions.distance("", "abc")).isEqualTo(3);
        assertThat(Suggestions.distance("ab", "ba")).isEqualTo(1);
        assertThat(Suggestions.distance("kitten", "sitting")).isEqualTo(3);
        Random random = new Random(1);
        for (int i = 0; i < 1000; i++) {
            String a = word(random);
            String b = word(random);
            int distance = Suggestions.distance(a, b);

            assertThat(distance).isEqualTo(Suggestions.distance(b, a));
            assertThat(distance == 0).isEqualTo(a.equals(b));
            assertThat(distance).isBetween(Math.abs(a.length() - b.length()), Math.max(a.length(), b.length()));
        }
    }

    private static String word(Random random) {
        StringBuilder word = new StringBuilder();
        for (int n = random.nextInt(7); n > 0; n--) {
            word.append((char) ('a' + random.nextInt(3)));
        }
        return word.toString();
    }
}
