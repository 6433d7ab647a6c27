package io.blocktap.transport.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
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
    void keepsWhatComesBackForTheFirstInLine() {
        MemoryBudget budget = new MemoryBudget(10);
        assertThat(budget.tryTake(10)).isTrue();
        List<String> called = new ArrayList<>();
        MemoryBudget.Waiter large = budget.newWaiter(() -> called.add("large"));
        MemoryBudget.Waiter small = budget.newWaiter(() -> called.add("small"));
        large.await(8);
        small.await(1);

        for (int i = 0; i < 7; i++) {
            budget.giveBack(1);
            assertThat(budget.tryTake(1)).as("taken in front of the line").isFalse();
        }
        assertThat(called).isEmpty();
        budget.giveBack(1);
        assertThat(called).containsExactly("large");
        budget.giveBack(1);
        assertThat(called).containsExactly("large", "small");

        large.letGo();
        assertThat(budget.tryTake(8)).isTrue();
        small.letGo();
        assertThat(budget.tryTake(1)).isTrue();
        assertThat(budget.isWaitedFor()).isFalse();
        assertThat(budget.usedBytes()).isEqualTo(10);
    }

    @Test
    void givesOnWhatWasPutAsideForOneThatLeaves() {
        MemoryBudget budget = new MemoryBudget(10);
        assertThat(budget.tryTake(10)).isTrue();
        List<String> called = new ArrayList<>();
        MemoryBudget.Waiter first = budget.newWaiter(() -> called.add("first"));
        MemoryBudget.Waiter second = budget.newWaiter(() -> called.add("second"));
        first.await(8);
        second.await(5);
        budget.giveBack(5);
        assertThat(called).isEmpty();

        first.leave();

        assertThat(called).containsExactly("second");
        second.leave();
        assertThat(budget.usedBytes()).isEqualTo(5);
        assertThat(budget.isWaitedFor()).isFalse();
    }

    @Test
    void oneThatWantsMoreThanAllGetsItsTurnWhenNothingIsInUse() {
        MemoryBudget budget = new MemoryBudget(10);
        assertThat(budget.tryTake(10)).isTrue();
        AtomicLong calls = new AtomicLong();
        MemoryBudget.Waiter waiter = budget.newWaiter(calls::incrementAndGet);
        waiter.await(100);

        budget.giveBack(9);
        assertThat(calls).hasValue(0);
        budget.giveBack(1);
        assertThat(calls).hasValue(1);

        waiter.letGo();
        assertThat(budget.tryTake(100)).isTrue();
    }

    @Test
    @Timeout(60)
    void aLargeOneIsNotStarvedBySmallOnes() throws Exception {
        MemoryBudget budget = new MemoryBudget(100);
        AtomicBoolean end = new AtomicBoolean();
        List<Thread> small = new ArrayList<>();
        for (int t = 0; t < 3; t++) {
            Thread thread = new Thread(() -> {
                while (!end.get()) {
                    if (budget.tryTake(40)) {
                        Thread.yield();
                        budget.giveBack(40);
                    }
                }
            });
            thread.start();
            small.add(thread);
        }
        Semaphore turn = new Semaphore(0);
        MemoryBudget.Waiter large = budget.newWaiter(turn::release);
        for (int served = 0; served < 1000; served++) {
            large.await(100);
            assertThat(turn.tryAcquire(20, TimeUnit.SECONDS))
                    .as("its turn, after %d", served)
                    .isTrue();
            large.leave();
        }
        end.set(true);
        for (Thread thread : small) {
            thread.join();
        }

        assertThat(budget.usedBytes()).isZero();
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
            boolean isPolite = t % 2 == 0;
            Thread thread = new Thread(() -> {
                try {
                    for (int i = 0; i < 20_000; i++) {
                        int bytes = 1 + random.nextInt(900);
                        takeOne(budget, isPolite, taken, bytes, "seed " + seed);
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

    private static void takeOne(MemoryBudget budget, boolean isPolite, AtomicLong taken, int bytes, String what)
            throws InterruptedException {
        Semaphore turn = new Semaphore(0);
        MemoryBudget.Waiter place = budget.newWaiter(turn::release);
        boolean had = !(isPolite && budget.isWaitedFor()) && budget.tryTake(bytes);
        while (!had) {
            place.await(bytes);
            assertThat(turn.tryAcquire(20, TimeUnit.SECONDS))
                    .as("called, %s", what)
                    .isTrue();
            place.letGo();
            had = budget.tryTake(bytes);
        }
        use(budget, taken, bytes, what);
    }

    private static void use(MemoryBudget budget, AtomicLong taken, int bytes, String what) {
        assertThat(taken.addAndGet(bytes)).as(what).isLessThanOrEqualTo(1000);
        Thread.yield();
        taken.addAndGet(-bytes);
        budget.giveBack(bytes);
    }
}
