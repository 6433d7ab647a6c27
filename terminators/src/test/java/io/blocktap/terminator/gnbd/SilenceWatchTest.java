package io.blocktap.terminator.gnbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** When silence is told. */
final class SilenceWatchTest {
    private final List<String> told = new ArrayList<>();
    private final SilenceWatch watch =
            new SilenceWatch((seconds, isOver) -> told.add(seconds + (isOver ? " over" : "")));

    private void check(long waiting, int second) {
        watch.check(waiting, TimeUnit.SECONDS.toNanos(second));
    }

    @Test
    void tellsAtTenSecondsThenEachTimeThatTwiceAsLongHasPassedAndOfTheEnd() {
        for (int second = 0; second <= 50; second++) {
            check(7, second);
        }
        check(8, 51);

        assertThat(told).containsExactly("10", "20", "40", "51 over");
    }

    @Test
    void tellsNothingWhileRequestsEnd() {
        for (int second = 0; second <= 50; second++) {
            check(second / 9, second);
        }
        check(SilenceWatch.NOTHING, 51);
        check(SilenceWatch.NOTHING, 99);

        assertThat(told).isEmpty();
    }

    @Test
    void tellsOfAServerThatIsAwayAlsoWithoutRequests() {
        for (int second = 0; second <= 25; second++) {
            check(SilenceWatch.AWAY, second);
        }
        check(SilenceWatch.NOTHING, 26); // its return is told by itself

        assertThat(told).containsExactly("10", "20");
    }
}
