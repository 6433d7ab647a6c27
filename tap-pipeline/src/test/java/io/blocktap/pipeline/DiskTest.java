package io.blocktap.pipeline;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What stages hear of sessions, and when. */
@Timeout(30)
final class DiskTest {
    private static final int SIZE = 1 << 20;

    /** Notes what it hears; a disconnect it hears to the end only when it may. */
    private static final class Listener implements Stage, ControlHook {
        final List<String> heard = Collections.synchronizedList(new ArrayList<>());
        final CountDownLatch mayReturn = new CountDownLatch(1);

        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below;
        }

        @Override
        public Sharing sharing() {
            return Sharing.THREAD_SAFE;
        }

        @Override
        public void onControl(ControlMessage message) {
            heard.add(message.name());
            if (message instanceof ControlMessage.Disconnect) {
                try {
                    mayReturn.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
                heard.add("disconnected");
            }
        }

        @Override
        public void close() {
            heard.add("close");
        }
    }

    /** Tells what it was told to be below. */
    private static final class Looker implements Stage {
        final boolean isTransparent;
        Stage below;

        Looker(boolean isTransparent) {
            this.isTransparent = isTransparent;
        }

        @Override
        public Geometry open(StageContext context, Geometry belowGeometry) {
            below = context.below();
            return belowGeometry;
        }

        @Override
        public boolean isTransparent() {
            return isTransparent;
        }

        @Override
        public void close() {
            // nothing is open
        }
    }

    @Test
    void aStageIsToldOfTheNextOneThatIsNotTransparent() throws Exception {
        Looker top = new Looker(false);
        Looker glass = new Looker(true);
        ReferenceDisk terminator = new ReferenceDisk(SIZE, AT_ONCE);
        StageHarness.open(top, glass, new Looker(true), terminator).close();
        assertThat(top.below).isSameAs(terminator);
        assertThat(glass.below).isSameAs(terminator);

        Looker wall = new Looker(false);
        StageHarness.open(top, glass, wall, new ReferenceDisk(SIZE, AT_ONCE)).close();
        assertThat(top.below).isSameAs(wall);
    }

    @Test
    void closesNoStageThatHearsOfADisconnectStill() throws Exception {
        Listener listener = new Listener();
        try (StageHarness harness = StageHarness.open(listener, new ReferenceDisk(SIZE, AT_ONCE))) {
            Disk disk = harness.disk();
            RequestStream stream = disk.sessions().iterator().next().streams().get(0);
            EventLoop loop = stream.eventLoop();
            harness.drain().get(10, TimeUnit.SECONDS);

            loop.execute(() -> disk.closeStream(stream));
            await().untilAsserted(() -> assertThat(listener.heard).contains("disconnect"));
            Thread closer = new Thread(disk::close);
            closer.start();
            await().untilAsserted(() -> assertThat(closer.getState()).isEqualTo(Thread.State.TIMED_WAITING));
            assertThat(listener.heard).doesNotContain("close");
            listener.mayReturn.countDown();
            closer.join();

            assertThat(listener.heard).containsExactly("connect", "shutdown", "disconnect", "disconnected", "close");
        }
    }

    @Test
    void tellsOfSessionsThatAreConnectedStillBeforeItClosesItsStages() throws Exception {
        Listener listener = new Listener();
        listener.mayReturn.countDown();
        try (StageHarness harness = StageHarness.open(listener, new ReferenceDisk(SIZE, AT_ONCE))) {
            harness.connect();
            harness.drain().get(10, TimeUnit.SECONDS);

            CompletableFuture.runAsync(harness.disk()::close).get(10, TimeUnit.SECONDS);

            assertThat(listener.heard)
                    .containsExactly(
                            "connect",
                            "connect",
                            "shutdown",
                            "disconnect",
                            "disconnected",
                            "disconnect",
                            "disconnected",
                            "close");
        }
    }
}
