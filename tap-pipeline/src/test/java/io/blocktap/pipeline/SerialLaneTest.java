package io.blocktap.pipeline;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class SerialLaneTest {
    private final BoundedWorkerPool pool = new BoundedWorkerPool(3);

    @AfterEach
    void closePool() {
        pool.close();
    }

    /** A terminator whose requests go to a lane. */
    private Stage through(WorkerPool.Work work, SerialLane.Answers answers) {
        SerialLane lane = new SerialLane(pool, work, answers);
        return new BoundedWorkerPoolTest.Submitting(
                new WorkerPool() {
                    @Override
                    public void submit(BlockRequest request, Work ignored) {
                        lane.submit(request);
                    }

                    @Override
                    public void execute(Runnable task) {
                        pool.execute(task);
                    }

                    @Override
                    public void close() {}
                },
                work);
    }

    @Test
    void oneAtATimeInOrderOfEachStream() throws Exception {
        AtomicInteger running = new AtomicInteger();
        List<Long> order = new ArrayList<>(); // confined to the lane
        WorkerPool.Work work = request -> {
            assertThat(running.incrementAndGet()).isOne();
            order.add(request.offsetBytes());
            running.decrementAndGet();
            return BlockStatus.OK;
        };
        int each = 20_000;
        try (StageHarness harness = StageHarness.openOn(2, through(work, SerialLane.Answers.EACH))) {
            TestClient second = harness.connect();
            List<CompletableFuture<Reply>> replies = new ArrayList<>();
            for (int i = 0; i < each; i++) {
                replies.add(harness.client().send(BlockOp.WRITE, 0, i, 1, new byte[1]));
                replies.add(second.send(BlockOp.WRITE, 0, 500_000 + i, 1, new byte[1]));
                if (i % 50 == 0) {
                    // The lane runs empty now and then, and has to be started again.
                    replies.forEach(reply -> TestClient.await(reply).ok());
                    replies.clear();
                }
            }
            replies.forEach(reply -> TestClient.await(reply).ok());
        }
        assertThat(order).hasSize(2 * each);
        assertThat(order.stream().filter(offset -> offset < 500_000)).isSorted();
        assertThat(order.stream().filter(offset -> offset >= 500_000)).isSorted();
    }

    @Test
    void workThatThrowsFailsItsOwnRequestOnly() throws Exception {
        WorkerPool.Work work = request -> {
            if (request.offsetBytes() == 1) {
                throw new IllegalStateException("thrown on purpose");
            }
            return BlockStatus.OK;
        };
        try (StageHarness harness = StageHarness.open(through(work, SerialLane.Answers.EACH))) {
            CompletableFuture<Reply> before = harness.client().send(BlockOp.WRITE, 0, 0, 1, new byte[1]);
            CompletableFuture<Reply> failing = harness.client().send(BlockOp.WRITE, 0, 1, 1, new byte[1]);
            CompletableFuture<Reply> after = harness.client().send(BlockOp.WRITE, 0, 2, 1, new byte[1]);

            TestClient.await(before).ok();
            TestClient.await(failing).with(BlockStatus.IO_ERROR);
            TestClient.await(after).ok();
        }
    }

    @Test
    void whoComesWhileTheWorkRunsIsAnsweredByTheNextRunTogetherWithTheOthers() throws Exception {
        AtomicInteger begun = new AtomicInteger();
        Semaphore mayEnd = new Semaphore(0);
        WorkerPool.Work work = request -> {
            begun.incrementAndGet();
            mayEnd.acquire();
            return BlockStatus.OK;
        };
        try (StageHarness harness = StageHarness.open(through(work, SerialLane.Answers.ALL_WAITING))) {
            CompletableFuture<Reply> first = harness.client().send(BlockOp.READ, 0, 0, 1, new byte[0]);
            org.awaitility.Awaitility.await().until(() -> begun.get() == 1);
            List<CompletableFuture<Reply>> others = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                others.add(harness.client().send(BlockOp.READ, 0, 0, 1, new byte[0]));
            }
            TestClient.await(CompletableFuture.runAsync(
                    () -> {}, harness.client().stream().eventLoop()));

            mayEnd.release();
            TestClient.await(first).ok();

            // It ended, but had begun before the others came: it does not count for them.
            assertThat(others).noneMatch(CompletableFuture::isDone);
            org.awaitility.Awaitility.await().until(() -> begun.get() == 2);
            mayEnd.release();
            others.forEach(reply -> TestClient.await(reply).ok());
            assertThat(begun).hasValue(2);
        } finally {
            mayEnd.release(1000);
        }
    }
}
