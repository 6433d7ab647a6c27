package io.blocktap.pipeline;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.FROM_WORKERS;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.WHEN_RELEASED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

/** The walk of requests down a chain and up again. */
final class RequestStreamTest {
    private static final int SIZE = 1 << 20;

    private final List<String> trace = Collections.synchronizedList(new ArrayList<>());

    /** A stage of a test: what it does with requests is a lambda, and its name stands in the trace. */
    private final class Probe implements Stage, RequestHook, ResponseHook {
        private final String name;
        private final RequestHook hook;
        final AtomicInteger closed = new AtomicInteger();
        RuntimeException failure;

        Probe(String name, RequestHook hook) {
            this.name = name;
            this.hook = hook;
        }

        Probe(String name) {
            this(name, request -> Verdict.PASS);
        }

        @Override
        public Geometry open(StageContext context, Geometry below) {
            return Objects.requireNonNullElseGet(
                    below, () -> Geometry.ofSize(SIZE, Feature.FLUSH, Feature.FUA, Feature.DISCARD));
        }

        @Override
        public Sharing sharing() {
            return Sharing.THREAD_SAFE;
        }

        @Override
        public Verdict onRequest(BlockRequest request) throws Exception {
            assertThat(closed).hasValue(0);
            if (request.op() != BlockOp.FLUSH) {
                trace.add(name + "<");
            }
            return hook.onRequest(request);
        }

        @Override
        public void onResponse(BlockResponse response) {
            assertThat(closed).hasValue(0);
            if (response.request().op() != BlockOp.FLUSH) {
                trace.add(name + ">");
            }
            if (failure != null) {
                throw failure;
            }
        }

        @Override
        public void close() {
            closed.incrementAndGet();
        }
    }

    private static ReferenceDisk disk() {
        return new ReferenceDisk(SIZE, AT_ONCE);
    }

    private static Reply read(StageHarness harness) {
        return harness.client().call(BlockOp.READ, 0, 512);
    }

    private static CompletableFuture<Reply> sendRead(StageHarness harness) {
        return harness.client().send(BlockOp.READ, 0, 0, 512, new byte[0]);
    }

    // ---- the end

    @Test
    void whoIsToldThatAllIsAnsweredFindsTheAnswersFlushed() throws Exception {
        LinkedBlockingQueue<BlockRequest> stolen = new LinkedBlockingQueue<>();
        Probe thief = new Probe("a", request -> {
            if (request.op() == BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            stolen.add(request);
            return Verdict.STOLEN;
        });
        try (StageHarness harness = StageHarness.open(thief, disk())) {
            Disk disk = harness.disk();
            RequestStream.Sink sink = new RequestStream.Sink() {
                @Override
                public void answer(BlockResponse response) {
                    trace.add("answered");
                }

                @Override
                public void flush() {
                    trace.add("flushed");
                }
            };
            disk.home()
                    .submit(() -> {
                        Session session = disk.connect("test", "-");
                        RequestStream stream = disk.openStream(session, disk.home(), sink);
                        stream.submit(stream.newRequest().describe(BlockOp.DISCARD, 0, 0, 512));
                        stream.whenIdle(() -> trace.add("idle"));
                        trace.clear();
                        stolen.remove().complete(BlockStatus.OK);
                        disk.closeStream(stream);
                        return null;
                    })
                    .sync();
        }
        assertThat(trace).startsWith("answered", "flushed", "idle");
    }

    // ---- verdicts

    @Test
    void passesDownInOrderAndUpInReverseOrder() throws Exception {
        try (StageHarness harness = StageHarness.open(new Probe("a"), new Probe("b"), new Probe("c"), disk())) {
            read(harness).ok();

            assertThat(trace).containsExactly("a<", "b<", "c<", "c>", "b>", "a>");
        }
    }

    @Test
    void aResponseGoesUpOnlyThroughStagesAboveTheOneThatAnswered() throws Exception {
        Probe answers = new Probe(
                "b", request -> request.op() == BlockOp.READ ? request.respond(BlockStatus.NO_SPACE) : Verdict.PASS);
        try (StageHarness harness = StageHarness.open(new Probe("a"), answers, new Probe("c"), disk())) {
            read(harness).with(BlockStatus.NO_SPACE);

            assertThat(trace).containsExactly("a<", "b<", "a>");
        }
    }

    @Test
    void aStolenRequestThatIsResumedGoesOnAndComesBackThroughTheThief() throws Exception {
        LinkedBlockingQueue<BlockRequest> stolen = new LinkedBlockingQueue<>();
        Probe thief = new Probe("b", request -> {
            if (request.op() == BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            stolen.add(request);
            return Verdict.STOLEN;
        });
        try (StageHarness harness = StageHarness.open(new Probe("a"), thief, new Probe("c"), disk())) {
            CompletableFuture<Reply> resumed = sendRead(harness);
            stolen.take().resume();
            TestClient.await(resumed).ok();
            assertThat(trace).containsExactly("a<", "b<", "c<", "c>", "b>", "a>");
            trace.clear();

            CompletableFuture<Reply> completed = sendRead(harness);
            stolen.take().complete(BlockStatus.READ_ONLY);

            TestClient.await(completed).with(BlockStatus.READ_ONLY);
            assertThat(trace).containsExactly("a<", "b<", "a>");
        }
    }

    @Test
    void aRequestMayBeCompletedOrResumedInsideItsHook() throws Exception {
        AtomicInteger round = new AtomicInteger();
        Probe hasty = new Probe("b", request -> {
            if (round.getAndIncrement() == 0) {
                request.complete(BlockStatus.IO_ERROR);
            } else {
                request.resume();
            }
            return Verdict.STOLEN;
        });
        try (StageHarness harness = StageHarness.open(new Probe("a"), hasty, disk())) {
            read(harness).with(BlockStatus.IO_ERROR);
            read(harness).ok();

            assertThat(trace).containsExactly("a<", "b<", "a>", "a<", "b<", "b>", "a>");
        }
    }

    @Test
    void aHookMayLeaveWordsAndObjectsForItsResponse() throws Exception {
        class Remembering implements Stage, RequestHook, ResponseHook {
            private final long word;
            private final Object object = new Object();
            private boolean seen;

            Remembering(long word) {
                this.word = word;
            }

            @Override
            public Geometry open(StageContext context, Geometry below) {
                return below;
            }

            @Override
            public Verdict onRequest(BlockRequest request) {
                request.setWord(word);
                request.attach(object);
                return Verdict.PASS;
            }

            @Override
            public void onResponse(BlockResponse response) {
                assertThat(response.request().word()).isEqualTo(word);
                assertThat(response.request().attachment()).isSameAs(object);
                seen = true;
            }

            @Override
            public void close() {
                assertThat(seen).isTrue();
            }
        }
        Stage[] stages = new Stage[13]; // more than a request has room for at first
        for (int i = 0; i < 12; i++) {
            stages[i] = new Remembering(i * 1000L);
        }
        stages[12] = new ReferenceDisk(SIZE, FROM_WORKERS);
        try (StageHarness harness = StageHarness.open(stages)) {
            for (int i = 0; i < 50; i++) {
                read(harness).ok();
            }
        }
    }

    // ---- mistakes of stages

    @Test
    void whatAHookThrowsFailsThatRequestOnly() throws Exception {
        Probe bad = new Probe("b", request -> {
            if (request.offsetBytes() == 512) {
                throw new IllegalArgumentException("a test's mistake");
            }
            return Verdict.PASS;
        });
        try (StageHarness harness = StageHarness.open(new Probe("a"), bad, disk())) {
            harness.client().call(BlockOp.READ, 512, 512).with(BlockStatus.IO_ERROR);
            assertThat(trace).containsExactly("a<", "b<", "a>");

            read(harness).ok();
        }
    }

    @Test
    void whatAResponseHookThrowsFailsThatRequestAndTheOthersAboveStillSeeIt() throws Exception {
        Probe bad = new Probe("b");
        try (StageHarness harness = StageHarness.open(new Probe("a"), bad, new Probe("c"), disk())) {
            bad.failure = new IllegalArgumentException("a test's mistake");
            read(harness).with(BlockStatus.IO_ERROR);
            bad.failure = null;

            assertThat(trace).containsExactly("a<", "b<", "c<", "c>", "b>", "a>");
            read(harness).ok();
        }
    }

    @Test
    void aLastStageThatPassesIsAnsweredAsUnsupported() throws Exception {
        Probe terminator = new Probe(
                "t", request -> request.op() == BlockOp.FLUSH ? request.respond(BlockStatus.OK) : Verdict.PASS);
        try (StageHarness harness = StageHarness.open(terminator)) {
            read(harness).with(BlockStatus.UNSUPPORTED);
        }
    }

    @Test
    void answeringTwiceIsRefused() throws Exception {
        LinkedBlockingQueue<BlockRequest> stolen = new LinkedBlockingQueue<>();
        List<Throwable> refusals = Collections.synchronizedList(new ArrayList<>());
        Probe twice = new Probe("b", request -> {
            if (request.offsetBytes() == 512) {
                request.complete(BlockStatus.OK);
                try {
                    request.complete(BlockStatus.OK);
                } catch (IllegalStateException e) {
                    refusals.add(e);
                }
                return Verdict.STOLEN;
            } else if (request.op() == BlockOp.READ) {
                stolen.add(request);
                return Verdict.STOLEN;
            }
            return Verdict.PASS;
        });
        try (StageHarness harness = StageHarness.open(twice, disk())) {
            harness.client().call(BlockOp.READ, 512, 512).ok();
            assertThat(refusals).hasSize(1);

            // From another thread, while the loop is kept from carrying the first one out.
            CompletableFuture<Reply> reply = sendRead(harness);
            BlockRequest request = stolen.take();
            CompletableFuture<Void> release = new CompletableFuture<>();
            harness.client().stream().eventLoop().execute(() -> TestClient.await(release));
            request.complete(BlockStatus.OK);
            assertThatThrownBy(() -> request.complete(BlockStatus.IO_ERROR))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("answered twice");
            assertThatThrownBy(request::resume).isInstanceOf(IllegalStateException.class);
            release.complete(null);

            TestClient.await(reply).ok();
        }
    }

    @Test
    void answeringOnceMoreAfterOthersHaveBegunIsRefusedAndAnswersNoneOfThem() throws Exception {
        LinkedBlockingQueue<BlockRequest> stolen = new LinkedBlockingQueue<>();
        Probe thief = new Probe("b", request -> {
            if (request.op() == BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            stolen.add(request);
            return Verdict.STOLEN;
        });
        try (StageHarness harness = StageHarness.open(thief, disk())) {
            CompletableFuture<Reply> first = sendRead(harness);
            BlockRequest answered = stolen.take();
            answered.complete(BlockStatus.OK);
            TestClient.await(first).ok();
            CompletableFuture<Reply> second = sendRead(harness);
            BlockRequest other = stolen.take();

            harness.client().stream()
                    .eventLoop()
                    .submit(() -> assertThatThrownBy(() -> answered.complete(BlockStatus.IO_ERROR))
                            .isInstanceOf(IllegalStateException.class)
                            .hasMessageContaining("answered twice"))
                    .sync();

            assertThat(second).isNotDone();
            other.complete(BlockStatus.OK);
            TestClient.await(second).ok();
        }
    }

    @Test
    void oneAnswerTooManyDoesNotLoseTheOthersOfItsBatch() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        LinkedBlockingQueue<BlockRequest> stolen = new LinkedBlockingQueue<>();
        Probe thief = new Probe("b", request -> {
            if (request.op() == BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            stolen.add(request);
            return Verdict.STOLEN;
        });
        try (StageHarness harness = StageHarness.open(thief, disk)) {
            List<CompletableFuture<Reply>> replies = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                replies.add(sendRead(harness));
            }
            BlockRequest wronged = stolen.take();
            BlockRequest second = stolen.take();
            BlockRequest third = stolen.take();
            CompletableFuture<Void> posted = new CompletableFuture<>();
            harness.client().stream().eventLoop().execute(() -> {
                TestClient.await(posted);
                wronged.complete(BlockStatus.NO_SPACE); // and it was posted already
            });
            CompletableFuture<Void> allPosted = CompletableFuture.runAsync(() -> {
                wronged.complete(BlockStatus.OK);
                second.complete(BlockStatus.OK);
                third.complete(BlockStatus.OK);
            });
            TestClient.await(allPosted);
            posted.complete(null);

            TestClient.await(replies.get(0)).with(BlockStatus.NO_SPACE);
            TestClient.await(replies.get(1)).ok();
            TestClient.await(replies.get(2)).ok();
            CompletableFuture<BlockStatus> drained = harness.drain();
            Awaitility.await().until(() -> {
                disk.release();
                return drained.isDone();
            });
        }
    }

    // ---- masses

    @Test
    void answersFromSeveralThreadsInMassesAreAllCarriedOut() throws Exception {
        int threads = 3;
        int requests = 30_000;
        LinkedBlockingQueue<BlockRequest> stolen = new LinkedBlockingQueue<>();
        Probe thief = new Probe("b", request -> {
            if (request.op() == BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            stolen.add(request);
            return Verdict.STOLEN;
        });
        try (StageHarness harness = StageHarness.open(thief, disk())) {
            List<CompletableFuture<Void>> workers = new ArrayList<>();
            for (int t = 0; t < threads; t++) {
                Random random = new Random(t);
                workers.add(CompletableFuture.runAsync(() -> {
                    for (int i = 0; i < requests / threads; i++) {
                        BlockRequest request = take(stolen);
                        if (random.nextBoolean()) {
                            request.resume();
                        } else {
                            request.complete(BlockStatus.OK);
                        }
                    }
                }));
            }
            List<CompletableFuture<Reply>> replies = new ArrayList<>();
            for (int i = 0; i < requests; i++) {
                replies.add(sendRead(harness));
            }

            replies.forEach(reply -> TestClient.await(reply).ok());
            workers.forEach(TestClient::await);
            assertThat(harness.client().stream().counters().requests(BlockOp.READ))
                    .isEqualTo(requests);
        }
    }

    private static BlockRequest take(LinkedBlockingQueue<BlockRequest> queue) {
        try {
            return Objects.requireNonNull(queue.poll(30, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void countsRequestsBytesAndErrors() throws Exception {
        ReferenceDisk disk = disk();
        try (StageHarness harness = StageHarness.open(disk)) {
            harness.client().write(0, new byte[1000]);
            disk.failNext(BlockOp.READ, BlockStatus.IO_ERROR);
            read(harness).with(BlockStatus.IO_ERROR);
            read(harness).ok();
            harness.client().call(BlockOp.READ, SIZE, 1).with(BlockStatus.OUT_OF_RANGE);

            StreamCounters counters = harness.client().stream().counters();
            assertThat(counters.requests(BlockOp.READ)).isEqualTo(3);
            assertThat(counters.errors(BlockOp.READ)).isEqualTo(2);
            assertThat(counters.bytes(BlockOp.READ)).isEqualTo(512);
            assertThat(counters.bytes(BlockOp.WRITE)).isEqualTo(1000);
        }
    }

    // ---- changes of the chain

    @Test
    void requestsKeepTheChainTheyCameWith() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        try (StageHarness harness = StageHarness.open(new Probe("a"), disk)) {
            CompletableFuture<Reply> before = sendRead(harness);
            Awaitility.await().until(() -> disk.held() == 1);
            harness.disk().addStage(1, "b", new Probe("b"));
            CompletableFuture<Reply> after = sendRead(harness);
            Awaitility.await().until(() -> disk.held() == 2);

            disk.release(); // the last one first

            TestClient.await(before).ok();
            TestClient.await(after).ok();
            assertThat(trace).containsExactly("a<", "a<", "b<", "b>", "a>", "a>");
            CompletableFuture<BlockStatus> drained = harness.drain();
            Awaitility.await().until(() -> {
                disk.release();
                return drained.isDone();
            });
        }
    }

    @Test
    void aRemovedStageIsClosedOnlyAfterItsRequestsAreAnswered() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        Probe removed = new Probe("b");
        try (StageHarness harness = StageHarness.open(new Probe("a"), disk)) {
            harness.disk().addStage(1, "b", removed);
            CompletableFuture<Reply> first = sendRead(harness);
            Awaitility.await().until(() -> disk.held() == 1);

            CompletableFuture<Void> closed = harness.disk().removeStage("b");

            assertThat(harness.disk().stageNames()).containsExactly("probe", "referencedisk");
            assertThat(closed).isNotDone();
            assertThat(removed.closed).hasValue(0);
            disk.release();
            TestClient.await(first).ok();
            TestClient.await(closed);
            assertThat(removed.closed).hasValue(1);
            CompletableFuture<BlockStatus> drained = harness.drain();
            Awaitility.await().until(() -> {
                disk.release();
                return drained.isDone();
            });
        }
        assertThat(removed.closed).hasValue(1);
    }

    @Test
    void aRemovedStageOutlivesRequestsOfOlderChainsToo() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, WHEN_RELEASED);
        Probe removed = new Probe("b");
        try (StageHarness harness = StageHarness.open(removed, disk)) {
            CompletableFuture<Reply> old = sendRead(harness);
            Awaitility.await().until(() -> disk.held() == 1);
            harness.disk().addStage(0, "a", new Probe("a"));
            CompletableFuture<Void> closed = harness.disk().removeStage("probe");
            // Everything that was sent to the loop has run when this comes back.
            TestClient.await(CompletableFuture.runAsync(
                    () -> {}, harness.client().stream().eventLoop()));
            TestClient.await(CompletableFuture.runAsync(() -> {}, harness.workers()::execute));

            assertThat(removed.closed).hasValue(0);

            disk.release();
            TestClient.await(old).ok();
            TestClient.await(closed);
            assertThat(removed.closed).hasValue(1);
            CompletableFuture<BlockStatus> drained = harness.drain();
            Awaitility.await().until(() -> {
                disk.release();
                return drained.isDone();
            });
        }
    }

    /** Sends a read of its own below for each read, and goes on when that is answered. */
    private static final class Asking implements Stage, RequestHook {
        private final SubRequestListener goOn =
                response -> response.request().parent().resume();
        final AtomicInteger closed = new AtomicInteger();

        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below;
        }

        @Override
        public Sharing sharing() {
            return Sharing.THREAD_SAFE;
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            if (request.op() != BlockOp.READ) {
                return Verdict.PASS;
            }
            RequestStream stream = request.stream();
            stream.submitBelow(stream.newRequestBelow(request, goOn)
                    .describe(BlockOp.READ, 0, 0, 512)
                    .withData(Objects.requireNonNull(stream.memory().tryAllocate(512))));
            return Verdict.STOLEN;
        }

        @Override
        public void close() {
            closed.incrementAndGet();
        }
    }

    @Test
    void aRemovedStageOutlivesRequestsThatItSendsBelowAfterItsRemoval() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, AT_ONCE);
        LinkedBlockingQueue<BlockRequest> stolen = new LinkedBlockingQueue<>();
        Probe thief = new Probe("t", request -> {
            if (request.op() == BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            stolen.add(request);
            return Verdict.STOLEN;
        });
        Asking asking = new Asking();
        Probe lower = new Probe("u", thief.hook);
        try (StageHarness harness = StageHarness.open(thief, asking, lower, disk)) {
            CompletableFuture<Reply> reply = sendRead(harness);
            BlockRequest held = take(stolen);
            CompletableFuture<Void> closed = harness.disk().removeStage("asking");
            held.resume(); // now the removed stage sends its own request, in the old chain
            BlockRequest own = take(stolen);
            own.resume();
            BlockRequest again = take(stolen); // the first one, now below the removed stage

            assertThat(asking.closed).hasValue(0);
            assertThat(closed).isNotDone();
            again.resume();

            TestClient.await(reply).ok();
            TestClient.await(closed);
            assertThat(asking.closed).hasValue(1);
        }
    }

    @Test
    void addingAndRemovingUnderLoadLosesNothing() throws Exception {
        ReferenceDisk disk = new ReferenceDisk(SIZE, FROM_WORKERS);
        List<Probe> added = new ArrayList<>();
        try (StageHarness harness = StageHarness.openOn(2, new Probe("a"), disk)) {
            TestClient second = harness.connect();
            CompletableFuture<List<Reply>> load = CompletableFuture.supplyAsync(() -> {
                List<CompletableFuture<Reply>> replies = new ArrayList<>();
                for (int i = 0; i < 20_000; i++) {
                    TestClient client = i % 2 == 0 ? harness.client() : second;
                    replies.add(client.send(BlockOp.READ, 0, 0, 512, new byte[0]));
                    if (i % 256 == 255) {
                        TestClient.await(replies.get(i - 128));
                    }
                }
                return replies.stream().map(TestClient::await).toList();
            });
            int changes = 0;
            while (!load.isDone()) {
                Probe probe = new Probe("x");
                added.add(probe);
                harness.disk().addStage(changes % 2, "x", probe);
                TestClient.await(harness.disk().removeStage("x"));
                assertThat(probe.closed).hasValue(1);
                changes++;
            }

            assertThat(TestClient.await(load)).hasSize(20_000).allMatch(reply -> reply.status() == BlockStatus.OK);
            assertThat(changes).isPositive();
        }
        assertThat(trace.stream().filter("x<"::equals).count())
                .isEqualTo(trace.stream().filter("x>"::equals).count());
        assertThat(added).allMatch(probe -> probe.closed.get() == 1);
    }

    @Test
    void changesThatFrontendsWouldSeeAreRefused() throws Exception {
        Probe shrinking = new Probe("s");
        try (StageHarness harness = StageHarness.open(disk())) {
            Stage smaller = new Stage() {
                @Override
                public Geometry open(StageContext context, Geometry below) {
                    return below.withSizeBytes(512);
                }

                @Override
                public Sharing sharing() {
                    return Sharing.THREAD_SAFE;
                }

                @Override
                public void close() {
                    shrinking.close();
                }
            };

            assertThatThrownBy(() -> harness.disk().addStage(0, "smaller", smaller))
                    .isInstanceOf(StageException.class)
                    .hasMessageContaining("would change the geometry");
            assertThat(shrinking.closed).hasValue(1);
            assertThatThrownBy(() -> harness.disk().addStage(1, "last", new Probe("l")))
                    .isInstanceOf(StageException.class);
            assertThatThrownBy(() -> harness.disk().removeStage("referencedisk"))
                    .isInstanceOf(StageException.class)
                    .hasMessageContaining("no interposer");
            read(harness).ok();
        }
    }

    // ---- the end

    @Test
    void aFailedFlushAtTheEndIsTold() throws Exception {
        ReferenceDisk disk = disk();
        try (StageHarness harness = StageHarness.open(disk)) {
            disk.failNext(BlockOp.FLUSH, BlockStatus.IO_ERROR);

            assertThat(TestClient.await(harness.drain())).isEqualTo(BlockStatus.IO_ERROR);
            assertThat(harness.disk().state()).isEqualTo(Disk.State.DRAINING);
        }
    }

    @Test
    void aDiskThatDrainsTakesNoSessions() throws Exception {
        try (StageHarness harness = StageHarness.open(disk())) {
            TestClient.await(harness.drain());

            assertThatThrownBy(() -> harness.disk().connect("test", "late"))
                    .isInstanceOf(RefusedException.class)
                    .hasMessageContaining("going down");
            assertThatThrownBy(() -> harness.disk().addStage(0, "late", new Probe("late")))
                    .isInstanceOf(StageException.class)
                    .hasMessageContaining("going down");
        }
    }
}
