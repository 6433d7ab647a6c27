package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Predicate;

/** Random operations of one client, several in flight, overlapping each other and those of other clients; reads are checked on the way. */
final class TaggedWorkload {
    private static final int IN_FLIGHT = 8;

    private final TestClient client;
    private final TaggedHistory history;
    private final AtomicLong clock;
    private final AtomicLong tags;
    private final int granules;
    private final int granulesACluster;
    private final Random random;
    private final Predicate<BlockStatus> isExpected;
    private final Semaphore window = new Semaphore(IN_FLIGHT);
    private final ConcurrentLinkedQueue<String> wrong = new ConcurrentLinkedQueue<>();

    TaggedWorkload(
            TestClient client,
            TaggedHistory history,
            AtomicLong clock,
            AtomicLong tags,
            int granules,
            int clusterBytes,
            long seed,
            Predicate<BlockStatus> isExpected) {
        this.client = client;
        this.history = history;
        this.clock = clock;
        this.tags = tags;
        this.granules = granules;
        this.granulesACluster = clusterBytes / TaggedHistory.GRANULE_BYTES;
        this.random = new Random(seed);
        this.isExpected = isExpected;
    }

    /** Does so many operations, and waits for the last. */
    void run(int operations) throws Exception {
        for (int i = 0; i < operations; i++) {
            acquire(1);
            step();
        }
        acquire(IN_FLIGHT);
        window.release(IN_FLIGHT);
        assertThat(wrong).isEmpty();
    }

    private void acquire(int permits) throws Exception {
        if (!window.tryAcquire(permits, 60, TimeUnit.SECONDS)) {
            throw new AssertionError("requests hang: " + (IN_FLIGHT - window.availablePermits()) + " are under way");
        }
    }

    private void step() {
        int choice = random.nextInt(100);
        int most = Math.max(2, Math.min(granules / 4, 5 * granulesACluster));
        int count = 1 + random.nextInt(random.nextInt(3) == 0 ? most : Math.max(1, granulesACluster / 2));
        int first = random.nextInt(granules);
        if (random.nextInt(3) == 0) {
            first = first / granulesACluster * granulesACluster;
            count = Math.max(1, count / granulesACluster) * granulesACluster;
        }
        count = Math.min(count, granules - first);
        boolean isFua = random.nextInt(12) == 0;
        if (choice < 45) {
            long tag = tags.incrementAndGet();
            change(BlockOp.WRITE, first, count, tag, isFua, TaggedHistory.bytes(count, tag));
        } else if (choice < 57) {
            change(BlockOp.WRITE_ZEROES, first, count, TaggedHistory.ZERO, isFua, new byte[0]);
        } else if (choice < 65) {
            change(BlockOp.DISCARD, first, count, TaggedHistory.ZERO, false, new byte[0]);
        } else if (choice < 72) {
            flush();
        } else {
            read(first, count);
        }
    }

    private void change(BlockOp op, int first, int count, long tag, boolean isFua, byte[] data) {
        TaggedHistory.Op begun = history.begin(first, count, tag, isFua, op == BlockOp.DISCARD);
        int flags = isFua ? BlockRequest.FUA : 0;
        if (op == BlockOp.WRITE_ZEROES && random.nextBoolean()) {
            flags |= BlockRequest.KEEP_ALLOCATED;
        }
        send(op, flags, first, count, data).thenAccept(reply -> {
            if (isGood(reply)) {
                history.end(begun);
            }
            window.release();
        });
    }

    private boolean isGood(Reply reply) {
        if (reply.status() != BlockStatus.OK && !isExpected.test(reply.status())) {
            wrong.add(reply.request() + ": " + reply.status());
        }
        return reply.status() == BlockStatus.OK;
    }

    private CompletableFuture<Reply> send(BlockOp op, int flags, int first, int count, byte[] data) {
        return client.send(
                op,
                flags,
                (long) first * TaggedHistory.GRANULE_BYTES,
                (long) count * TaggedHistory.GRANULE_BYTES,
                data);
    }

    private void flush() {
        long begun = clock.incrementAndGet();
        client.send(BlockOp.FLUSH, 0, 0, 0, new byte[0]).thenAccept(reply -> {
            if (isGood(reply)) {
                history.flushed(begun);
            }
            window.release();
        });
    }

    private void read(int first, int count) {
        long begun = clock.incrementAndGet();
        send(BlockOp.READ, 0, first, count, new byte[0]).thenAccept(reply -> {
            long ended = clock.incrementAndGet();
            if (isGood(reply)) {
                for (int i = 0; i < count; i++) {
                    long tag = TaggedHistory.tag(reply.data(), i);
                    if (!history.isLegalForRead(first + i, tag, begun, ended)) {
                        wrong.add("read " + begun + "-" + ended + " of granule " + (first + i) + " gave "
                                + Long.toHexString(tag) + history.describe(first + i));
                        break;
                    }
                }
            }
            window.release();
        });
    }
}
