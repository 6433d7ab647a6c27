package io.blocktap.pipeline;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.FROM_WORKERS;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.WHEN_RELEASED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A disk whose terminator changes its size while frontends use it. */
@Timeout(60)
final class ResizeTest {
    private static final int SIZE = 64 << 10;
    private static final int LARGER = 2 * SIZE;

    /** Shows what is below it, and notes what it hears. Open for stages that do something else. */
    private static class Passing implements Stage, ControlHook {
        final List<String> heard = Collections.synchronizedList(new ArrayList<>());
        volatile Geometry below = Geometry.ofSize(0);

        @Override
        public Geometry open(StageContext context, Geometry below) throws StageException {
            this.below = below;
            return below;
        }

        @Override
        public Sharing sharing() {
            return Sharing.THREAD_SAFE;
        }

        @Override
        public void onControl(ControlMessage message) throws RefusedException {
            if (message instanceof ControlMessage.Resize resize) {
                heard.add(resize.from().sizeBytes() + " to " + resize.to().sizeBytes());
            } else if (message instanceof ControlMessage.Withdrawn withdrawn) {
                heard.add("withdrawn " + withdrawn.message().name());
            }
        }

        @Override
        public void close() {
            heard.add("close");
        }
    }

    /** Shows what is below it, but keeps its size: as a copy-on-write layer does. */
    private static final class Keeping extends Passing {
        @Override
        public long belowResized(Geometry own, Geometry belowWas, Geometry below) {
            return own.sizeBytes();
        }
    }

    /** Shows all but the last sector. */
    private static final class OneSectorLess extends Passing {
        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below.withSizeBytes(below.sizeBytes() - 512);
        }

        @Override
        public long belowResized(Geometry own, Geometry belowWas, Geometry below) {
            return below.sizeBytes() - 512;
        }
    }

    /** Offers another geometry, and says nothing of sizes. */
    private static final class ReadOnly extends Passing {
        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below.withFeatures(java.util.Set.of(Feature.READ_ONLY));
        }
    }

    private static final class Refusing extends Passing {
        @Override
        public void onControl(ControlMessage message) throws RefusedException {
            if (message instanceof ControlMessage.Resize resize && resize.to().sizeBytes() == LARGER) {
                throw new RefusedException("too large for me");
            }
        }
    }

    private static ReferenceDisk disk(ReferenceDisk.Answering answering) {
        Geometry geometry = Geometry.ofSize(SIZE, Feature.FLUSH, Feature.MULTI_CONNECTION);
        return new ReferenceDisk(geometry, LARGER, answering);
    }

    private static BlockStatus readAt(TestClient client, long offset) {
        return client.call(BlockOp.READ, offset, 512).status();
    }

    private static Throwable failure(CompletableFuture<?> future) throws Exception {
        try {
            future.get(20, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            return e.getCause();
        }
        throw new AssertionError("it did not fail");
    }

    // ---- up the chain

    @Test
    void frontendsUseTheNewRangeAsSoonAsTheyAreToldAndNotBefore() throws Exception {
        Passing upper = new Passing();
        Passing lower = new Passing();
        ReferenceDisk disk = disk(AT_ONCE);
        List<Long> told = Collections.synchronizedList(new ArrayList<>());
        try (StageHarness harness = StageHarness.openOn(2, upper, lower, disk)) {
            TestClient second = harness.connect();
            harness.disk().onGeometryChange(now -> told.add(now.sizeBytes()));
            assertThat(readAt(harness.client(), SIZE)).isEqualTo(BlockStatus.OUT_OF_RANGE);

            TestClient.await(disk.resize(LARGER));

            assertThat(told).containsExactly((long) LARGER);
            assertThat(harness.disk().geometry())
                    .isEqualTo(Geometry.ofSize(LARGER, Feature.FLUSH, Feature.MULTI_CONNECTION));
            for (TestClient client : List.of(harness.client(), second, harness.connect())) {
                assertThat(readAt(client, LARGER - 512)).isEqualTo(BlockStatus.OK);
                assertThat(readAt(client, LARGER)).isEqualTo(BlockStatus.OUT_OF_RANGE);
            }
            assertThat(upper.heard).isEqualTo(lower.heard).containsExactly("65536 to 131072");
        }
    }

    @Test
    void aStageThatKeepsItsSizeHidesTheChangeFromAllAboveIt() throws Exception {
        Passing upper = new Passing();
        ReferenceDisk disk = disk(AT_ONCE);
        List<Long> told = Collections.synchronizedList(new ArrayList<>());
        try (StageHarness harness = StageHarness.open(upper, new Keeping(), disk)) {
            harness.disk().onGeometryChange(now -> told.add(now.sizeBytes()));

            TestClient.await(disk.resize(LARGER));

            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(SIZE);
            assertThat(readAt(harness.client(), SIZE)).isEqualTo(BlockStatus.OUT_OF_RANGE);
            assertThat(told).isEmpty();
            assertThat(upper.heard).isEmpty();
        }
    }

    @Test
    void aStageWithAGeometryOfItsOwnKeepsItUnlessItSaysOtherwise() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(new ReadOnly(), disk)) {
            TestClient.await(disk.resize(LARGER));

            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(SIZE);
        }
    }

    @Test
    void aStageMayMakeAnotherSizeOfTheNewOne() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(new Passing(), new OneSectorLess(), disk)) {
            TestClient.await(disk.resize(LARGER));

            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(LARGER - 512);
            assertThat(readAt(harness.client(), LARGER - 1024)).isEqualTo(BlockStatus.OK);
            assertThat(readAt(harness.client(), LARGER - 512)).isEqualTo(BlockStatus.OUT_OF_RANGE);
        }
    }

    @Test
    void aStageThatIsConfinedToOneLoopIsAskedAndToldOnThatLoop() throws Exception {
        List<Thread> calledOn = Collections.synchronizedList(new ArrayList<>());
        Passing pinned = new Passing() {
            @Override
            public Sharing sharing() {
                return Sharing.ONE_LOOP;
            }

            @Override
            public long belowResized(Geometry own, Geometry belowWas, Geometry below) {
                calledOn.add(Thread.currentThread());
                return super.belowResized(own, belowWas, below);
            }

            @Override
            public void onControl(ControlMessage message) {
                if (message instanceof ControlMessage.Resize) {
                    calledOn.add(Thread.currentThread());
                }
            }
        };
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.openOn(2, pinned, disk)) {
            TestClient.await(disk.resize(LARGER));

            Thread home = harness.disk().home().submit(Thread::currentThread).get();
            assertThat(calledOn).containsExactly(home, home);
        }
    }

    // ---- refused

    @Test
    void theOldSizeStaysWhenAControlHookRefusesAndThoseWhoHadAcceptedHearOfIt() throws Exception {
        Passing upper = new Passing();
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(upper, new Refusing(), disk)) {
            assertThat(failure(disk.resize(LARGER)))
                    .isInstanceOf(RefusedException.class)
                    .hasMessage("refusing refuses: too large for me");

            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(SIZE);
            assertThat(readAt(harness.client(), SIZE)).isEqualTo(BlockStatus.OUT_OF_RANGE);
            assertThat(upper.heard).containsExactly("65536 to 131072", "withdrawn resize");
            TestClient.await(disk.resize(LARGER - 512)); // the next one is looked at on its own
            assertThat(readAt(harness.client(), SIZE)).isEqualTo(BlockStatus.OK);
        }
    }

    @Test
    void theOldSizeStaysWhenAStageFailsToSayItsOwn() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        Passing failing = new Passing() {
            @Override
            public long belowResized(Geometry own, Geometry belowWas, Geometry below) {
                throw new IllegalStateException("broken");
            }
        };
        try (StageHarness harness = StageHarness.open(failing, disk)) {
            assertThat(failure(disk.resize(LARGER))).hasMessage("broken");

            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(SIZE);
        }
    }

    @Test
    void aDiskThatGoesDownKeepsItsSize() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(disk)) {
            TestClient.await(harness.drain());

            assertThat(failure(disk.resize(LARGER)))
                    .isInstanceOf(RefusedException.class)
                    .hasMessageContaining("is going down");
        }
    }

    @Test
    void aNegativeSizeIsAMistakeOfTheStage() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(disk)) {
            assertThatThrownBy(() -> disk.resize(-1)).isInstanceOf(IllegalArgumentException.class);
            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(SIZE);
        }
    }

    // ---- when

    @Test
    void aSizeThatIsToldWhileTheDiskIsOpenedCountsWhenItIsOpen() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        List<CompletableFuture<Void>> resized = new ArrayList<>();
        Passing slow = new Passing() {
            @Override
            public Geometry open(StageContext context, Geometry below) throws StageException {
                resized.add(disk.resize(LARGER));
                assertThat(resized.get(0)).isNotDone();
                return super.open(context, below);
            }
        };
        try (StageHarness harness = StageHarness.open(slow, disk)) {
            TestClient.await(resized.get(0));

            assertThat(readAt(harness.client(), SIZE)).isEqualTo(BlockStatus.OK);
        }
    }

    @Test
    void sizesAreTakenInTheOrderInWhichTheyWereTold() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        Passing upper = new Passing();
        List<Long> told = Collections.synchronizedList(new ArrayList<>());
        List<Long> expected = new ArrayList<>();
        try (StageHarness harness = StageHarness.openOn(2, upper, disk)) {
            harness.connect();
            harness.disk().onGeometryChange(now -> told.add(now.sizeBytes()));
            CompletableFuture<Void> last = CompletableFuture.completedFuture(null);
            for (int i = 1; i <= 100; i++) {
                last = disk.resize(SIZE + 512L * i);
                expected.add(SIZE + 512L * i);
            }
            TestClient.await(last);

            assertThat(told).isEqualTo(expected);
            assertThat(upper.heard).hasSize(100);
        }
    }

    @Test
    void whatWasAdmittedBeforeTheDiskBecameSmallerEndsAsItBegan() throws Exception {
        ReferenceDisk disk = disk(WHEN_RELEASED);
        try (StageHarness harness = StageHarness.open(new Passing(), disk)) {
            CompletableFuture<Reply> admitted = harness.client().send(BlockOp.WRITE, 0, SIZE - 512, 512, new byte[512]);
            await().until(() -> disk.held() == 1);

            TestClient.await(disk.resize(SIZE - 512));
            assertThat(readAt(harness.client(), SIZE - 512)).isEqualTo(BlockStatus.OUT_OF_RANGE);
            disk.release();

            assertThat(TestClient.await(admitted).status()).isEqualTo(BlockStatus.OK);
            releaseUntilDrained(harness, disk);
        }
    }

    /** The flush at the end waits to be released as well. */
    private static void releaseUntilDrained(StageHarness harness, ReferenceDisk disk) {
        CompletableFuture<BlockStatus> drained = harness.drain();
        await().until(() -> {
            disk.release();
            return drained.isDone();
        });
    }

    // ---- with changes of the chain

    @Test
    void stagesAreComparedByTheSizesOfTheMomentWhenTheyAreAddedAndRemoved() throws Exception {
        Keeping keeping = new Keeping();
        Passing removed = new Passing();
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(removed, keeping, disk)) {
            TestClient.await(disk.resize(LARGER));

            Passing above = new Passing();
            harness.disk().addStage(1, "above", above);
            assertThat(above.below.sizeBytes()).isEqualTo(SIZE);
            Passing below = new Passing();
            harness.disk().addStage(3, "below", below);
            assertThat(below.below.sizeBytes()).isEqualTo(LARGER);
            assertThatThrownBy(() -> harness.disk().removeStage("keeping"))
                    .isInstanceOf(StageException.class)
                    .hasMessageContaining("it changes the disk's geometry");
            TestClient.await(harness.disk().removeStage("passing"));
            assertThat(removed.heard).containsExactly("close");
            assertThat(readAt(harness.client(), SIZE - 512)).isEqualTo(BlockStatus.OK);
        }
    }

    @Test
    void aStageAddedLaterIsResizedWithTheOthersAndLeavesWithTheNewSize() throws Exception {
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(disk)) {
            Passing added = new Passing();
            harness.disk().addStage(0, "added", added);

            TestClient.await(disk.resize(LARGER));
            TestClient.await(harness.disk().removeStage("added"));

            assertThat(added.heard).containsExactly("65536 to 131072", "close");
            assertThat(readAt(harness.client(), LARGER - 512)).isEqualTo(BlockStatus.OK);
        }
    }

    @Test
    void aStageThatWasRemovedHasNoSizeToTell() throws Exception {
        StageContext[] context = new StageContext[1];
        Passing removed = new Passing() {
            @Override
            public Geometry open(StageContext its, Geometry below) throws StageException {
                context[0] = its;
                return super.open(its, below);
            }
        };
        ReferenceDisk disk = disk(AT_ONCE);
        try (StageHarness harness = StageHarness.open(disk)) {
            harness.disk().addStage(0, "x", removed);
            TestClient.await(harness.disk().removeStage("x"));
            harness.disk().addStage(0, "x", new Passing());

            assertThat(failure(context[0].resize(LARGER)))
                    .isInstanceOf(RefusedException.class)
                    .hasMessageContaining("not in the chain");
            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(SIZE);
        }
    }

    @Test
    void underLoadOnTwoLoopsSizesAndStagesChangeWithNothingLost() throws Exception {
        ReferenceDisk disk = disk(FROM_WORKERS);
        try (StageHarness harness = StageHarness.openOn(2, new Passing(), disk)) {
            TestClient second = harness.connect();
            CompletableFuture<List<Reply>> load = CompletableFuture.supplyAsync(() -> {
                List<CompletableFuture<Reply>> replies = new ArrayList<>();
                for (int i = 0; i < 20_000; i++) {
                    TestClient client = i % 2 == 0 ? harness.client() : second;
                    long offset =
                            i / 2 % 2 == 0 ? SIZE - 512 : SIZE; // the last sector that is always there, and the next
                    replies.add(client.send(BlockOp.READ, 0, offset, 512, new byte[0]));
                    if (i % 256 == 255) {
                        TestClient.await(replies.get(i - 128));
                    }
                }
                return replies.stream().map(TestClient::await).toList();
            });
            int changes = 0;
            while (!load.isDone()) {
                CompletableFuture<Void> resized = disk.resize(changes % 2 == 0 ? LARGER : SIZE);
                Passing stage = new Passing();
                addEvenIfResized(harness.disk(), stage);
                CompletableFuture<Void> removed = harness.disk().removeStage("x");
                TestClient.await(resized);
                TestClient.await(removed);
                assertThat(stage.heard).endsWith("close");
                changes++;
            }

            List<Reply> replies = TestClient.await(load);
            assertThat(changes).isPositive();
            for (int i = 0; i < replies.size(); i++) {
                BlockStatus status = replies.get(i).status();
                if (i / 2 % 2 == 0) {
                    assertThat(status).isEqualTo(BlockStatus.OK);
                } else {
                    assertThat(status).isIn(BlockStatus.OK, BlockStatus.OUT_OF_RANGE);
                }
            }
            TestClient.await(disk.resize(LARGER));
            assertThat(readAt(second, SIZE)).isEqualTo(BlockStatus.OK);
        }
    }

    private static void addEvenIfResized(Disk disk, Passing stage) throws StageException {
        while (true) {
            try {
                disk.addStage(0, "x", stage);
                return;
            } catch (StageException e) {
                assertThat(e).hasMessageContaining("was resized meanwhile");
            }
        }
    }
}
