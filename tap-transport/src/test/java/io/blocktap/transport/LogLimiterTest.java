package io.blocktap.transport;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** The first time counts at once, the others once a period, and none is forgotten. */
class LogLimiterTest {
    private final AtomicLong now = new AtomicLong(Long.MAX_VALUE - 5); // the clock may wrap
    private final LogLimiter limiter = new LogLimiter(10, now::get);

    @Test
    void countsTheFirstTimeAtOnce() {
        assertThat(limiter.count()).isEqualTo(1);
    }

    @Test
    void countsOncePerPeriodWithAllSince() {
        limiter.count();
        for (int i = 0; i < 9; i++) {
            now.incrementAndGet();
            assertThat(limiter.count()).isZero();
        }
        now.incrementAndGet();
        assertThat(limiter.count()).isEqualTo(10);
        assertThat(limiter.count()).isZero();
    }
}
