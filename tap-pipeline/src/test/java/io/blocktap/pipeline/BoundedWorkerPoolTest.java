package io.blocktap.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class BoundedWorkerPoolTest {
    private static final int THREADS = 4;

    private final BoundedWorkerPool pool = new BoundedWorkerPool(THREADS);

    @AfterEach
    void closePool() {
        pool.close();
    }

    /** Gives all it gets to a pool. */
    record Submitting(WorkerPool to, WorkerPool.Work work) implements Stage, RequestHook {
        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return Geometry.ofSize(1 << 20, Feature.MULTI_CONNECTION);
        }

        @Override
        public Sharing sharing() {
            return Sharing.THREAD_SAFE;
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            to.submit(request, work);
            return Verdict.STOLEN;
        }

        @Override
        public void close() {}
    }

    private static List<CompletableFuture<Reply>> send(TestClient client, int count) {
        List<CompletableFuture<Reply>> replies = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            replies.add(client.send(BlockOp.READ, 0, i, 1, new byte[0]));
        }
        return replies;
    }

    @Test
    void everyRequestIsDoneOnceWhateverTheRhythm() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        AtomicInteger done = new AtomicInteger();
        int sent = 0;
        WorkerPool.Work work = request -> {
            done.incrementAndGet();
            return BlockStatus.OK;
        };
        try (StageHarness harness = StageHarness.openOn(2, new Submitting(pool, work))) {
            TestClient second = harness.connect();
            // Bursts and pauses: a wake-up that gets lost shows as a request that is never answered.
            for (int burst = 0; burst < 2000; burst++) {
                int count = 1 + random.nextInt(6);
                List<CompletableFuture<Reply>> replies = send(harness.client(), count);
                replies.addAll(send(second, count));
                sent += 2 * count;
                replies.forEach(reply -> TestClient.await(reply).ok());
            }
        }
        assertThat(done).as("seed %d", seed).hasValue(sent);
    }

    @Test
    void allThreadsWorkWhenThereIsEnoughToDo() throws Exception {
        // All must be in the work at the same time, or none gets out.
        CyclicBarrier all = new CyclicBarrier(THREADS);
        AtomicInteger running = new AtomicInteger();
        try (StageHarness harness = StageHarness.open(new Submitting(pool, request -> {
            assertThat(running.incrementAndGet()).isLessThanOrEqualTo(THREADS);
            all.await(30, TimeUnit.SECONDS);
            running.decrementAndGet();
            return BlockStatus.OK;
        }))) {
            send(harness.client(), THREADS * 10)
                    .forEach(reply -> TestClient.await(reply).ok());
        }
    }

    @Test
    void workThatThrowsIsAnIoErrorAndCostsNoThread() throws Exception {
        try (StageHarness harness = StageHarness.open(new Submitting(pool, request -> {
            if (request.offsetBytes() % 2 == 0) {
                throw new AssertionError("thrown on purpose");
            }
            return BlockStatus.NO_SPACE;
        }))) {
            List<CompletableFuture<Reply>> replies = send(harness.client(), 8);

            for (int i = 0; i < replies.size(); i++) {
                TestClient.await(replies.get(i)).with(i % 2 == 0 ? BlockStatus.IO_ERROR : BlockStatus.NO_SPACE);
            }
        }
    }

    @Test
    void requestsAreDoneInTheirOrderAndDoNotHoldUpTasks() throws Exception {
        BoundedWorkerPool single = new BoundedWorkerPool(1);
        CountDownLatch queued = new CountDownLatch(1);
        Queue<String> order = new ConcurrentLinkedQueue<>();
        try (StageHarness harness = StageHarness.open(new Submitting(single, request -> {
            queued.await();
            order.add("request " + request.offsetBytes());
            return BlockStatus.OK;
        }))) {
            List<CompletableFuture<Reply>> replies = send(harness.client(), 5);
            // All have been submitted once a task of the loop that came after them has run.
            TestClient.await(CompletableFuture.runAsync(
                    () -> {}, harness.client().stream().eventLoop()));
            single.execute(() -> order.add("task"));
            queued.countDown();
            replies.forEach(reply -> TestClient.await(reply).ok());
        } finally {
            single.close();
        }
        List<String> done = List.copyOf(order);
        assertThat(done.stream().filter(each -> each.startsWith("request"))).isSorted();
        assertThat(done.indexOf("task")).isBetween(0, 2);
    }

    @Test
    void anInterruptedTaskLeavesItsThreadUsable() throws Exception {
        BoundedWorkerPool single = new BoundedWorkerPool(1);
        CountDownLatch done = new CountDownLatch(1);
        single.execute(() -> Thread.currentThread().interrupt());
        single.execute(() -> {
            throw new IllegalStateException("thrown on purpose");
        });
        single.execute(done::countDown);
        assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
        single.close();
    }

    @Test
    void closeDoesWhatIsQueuedAndTakesNothingMore() {
        BoundedWorkerPool closing = new BoundedWorkerPool(2);
        AtomicInteger done = new AtomicInteger();
        for (int i = 0; i < 1000; i++) {
            closing.execute(done::incrementAndGet);
        }

        closing.close();

        assertThat(done).hasValue(1000);
        assertThatThrownBy(() -> closing.execute(() -> {}))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("closed");
    }

    @Test
    void refusesToHaveNoThreads() {
        assertThatThrownBy(() -> new BoundedWorkerPool(0)).hasMessageContaining("at least 1");
    }
}
