package io.blocktap.transport.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The bound holds, and nobody who waits is forgotten. */
class MemoryBudgetTest {
    @Test
    void refusesLimitThatIsNotPositive() {
        assertThatThrownBy(() -> new MemoryBudget(0)).hasMessage("limit of 0 bytes; it must be positive");
    }

    @Test
    void takesUpToTheLimit() {
        MemoryBudget budget = new MemoryBudget(100);

        assertThat(budget.tryTake(60)).isTrue();
        assertThat(budget.tryTake(41)).isFalse();
        assertThat(budget.tryTake(40)).isTrue();
        assertThat(budget.usedBytes()).isEqualTo(100);
        budget.giveBack(100);
        assertThat(budget.usedBytes()).isZero();
        assertThat(budget.limitBytes()).isEqualTo(100);
    }

    @Test
    void letsOneThroughThatIsLargerThanAll() {
        MemoryBudget budget = new MemoryBudget(100);

        assertThat(budget.tryTake(1000)).isTrue();
        assertThat(budget.tryTake(1)).isFalse();
        budget.giveBack(1000);
        assertThat(budget.tryTake(1)).isTrue();
    }

    @Test
    void hasNoLimitThatOverflows() {
        MemoryBudget budget = new MemoryBudget(Long.MAX_VALUE);

        assertThat(budget.tryTake(Long.MAX_VALUE - 1)).isTrue();
        assertThat(budget.tryTake(2)).isFalse();
        assertThat(budget.tryTake(1)).isTrue();
    }

    @Test
    void callsEachWaiterOnce() {
        MemoryBudget budget = new MemoryBudget(10);
        budget.tryTake(10);
        List<String> called = new ArrayList<>();
        budget.callWhenGivenBack(() -> called.add("one"));
        budget.callWhenGivenBack(() -> called.add("two"));
        assertThat(called).isEmpty();

        budget.giveBack(5);
        budget.giveBack(5);

        assertThat(called).containsExactly("one", "two");
    }

    @Test
    @Timeout(60)
    void neitherExceedsTheLimitNorForgetsAWaiter() throws Exception {
        long seed = new Random().nextLong();
        MemoryBudget budget = new MemoryBudget(1000);
        AtomicLong taken = new AtomicLong();
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        for (int t = 0; t < 4; t++) {
            Random random = new Random(seed + t);
            Thread thread = new Thread(() -> {
                try {
                    for (int i = 0; i < 20_000; i++) {
                        takeOne(budget, taken, 1 + random.nextInt(900), "seed " + seed);
                    }
                } catch (Throwable e) {
                    failures.add(e);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }

        assertThat(failures).isEmpty();
        assertThat(budget.usedBytes()).isZero();
    }

    private static void takeOne(MemoryBudget budget, AtomicLong taken, int bytes, String what)
            throws InterruptedException {
        Semaphore wake = new Semaphore(0);
        while (!budget.tryTake(bytes)) {
            budget.callWhenGivenBack(wake::release);
            if (budget.tryTake(bytes)) {
                break;
            }
            assertThat(wake.tryAcquire(20, TimeUnit.SECONDS))
                    .as("woken, %s", what)
                    .isTrue();
        }
        assertThat(taken.addAndGet(bytes)).as(what).isLessThanOrEqualTo(1000);
        Thread.yield();
        taken.addAndGet(-bytes);
        budget.giveBack(bytes);
    }
}
