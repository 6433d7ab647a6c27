package io.blocktap.pipeline.tap.xen;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What a device costs whose guest writes its state without end. */
final class LookPaceTest {
    private long now = Long.MAX_VALUE - TimeUnit.SECONDS.toNanos(20); // nanoTime may wrap
    private final LookPace pace = new LookPace(() -> now);

    private int looksWithin(long seconds) {
        long end = now + TimeUnit.SECONDS.toNanos(seconds);
        int looks = 0;
        while (true) {
            long delay = pace.nextDelayNanos();
            if (now + delay - end > 0) {
                return looks;
            }
            now += delay;
            looks++;
        }
    }

    @Test
    void aDeviceThatConnectsIsNotDelayed() {
        for (int look = 0; look < LookPace.BURST; look++) {
            assertThat(pace.isSlow()).isFalse();
            assertThat(pace.nextDelayNanos()).isZero();
        }
        assertThat(pace.isSlow()).isTrue();
    }

    @Test
    void aDeviceThatChangesWithoutEndIsLookedAtTenTimesASecond() {
        assertThat(looksWithin(60)).isBetween(600, 600 + LookPace.BURST);
        assertThat(pace.isSlow()).isTrue();
    }

    @Test
    void aDeviceThatWasQuietIsFastAgain() {
        looksWithin(10);
        now += TimeUnit.SECONDS.toNanos(8);

        for (int look = 0; look < LookPace.BURST; look++) {
            assertThat(pace.nextDelayNanos()).as("look " + look).isZero();
        }
        assertThat(pace.nextDelayNanos()).isPositive();
    }

    @Test
    void quietTimeIsNotSavedUp() {
        now += TimeUnit.HOURS.toNanos(5);

        assertThat(looksWithin(1)).isBetween(LookPace.BURST, LookPace.BURST + 11);
    }
}
