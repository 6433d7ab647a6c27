package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.Feature;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import java.nio.file.Path;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Memory that the machine does not have costs the requests that need it, and no more; whatever else fails ends the ring. */
class RingMemoryTest {
    @TempDir
    Path directory;

    @Test
    void requestForWhichTheMachineHasNoMemoryFailsAlone() throws Exception {
        try (RingWorld world = new RingWorld(directory, 1, BlkifLayout.X86_64, 1, Feature.FLUSH)) {
            world.noBuffers = new OutOfMemoryError("no memory for request data");
            world.guest.expects(Blkif.BLKIF_RSP_ERROR);
            world.ask(Blkif.BLKIF_OP_WRITE, 3);
            world.collect();
            assertThat(world.guest.waiting).isEmpty();

            world.noBuffers = null;
            world.guest.expects(Blkif.BLKIF_RSP_OKAY);
            world.ask(Blkif.BLKIF_OP_WRITE, 3);
            world.finish();
            assertThat(world.failures).isEmpty();
        }
    }

    @Test
    void requestsThatWaitedForMemoryFailIfThereIsNoneWhenTheirTurnComes() throws Exception {
        try (RingWorld world = new RingWorld(directory, 2, BlkifLayout.X86_64, 1, Feature.FLUSH)) {
            fillBudget(world);
            world.noBuffers = new OutOfMemoryError("no memory for request data");
            world.storage.holdsOneIn = 0;
            int held = world.storage.held.size();

            for (int i = 0; i < held; i++) {
                world.completeOne();
            }

            world.collectWith(status -> status == Blkif.BLKIF_RSP_OKAY || status == Blkif.BLKIF_RSP_ERROR);
            assertThat(world.guest.waiting.keySet())
                    .as("requests that are never answered")
                    .isEmpty();
            assertThat(world.failures).isEmpty();
        }
    }

    @Test
    void whateverElseFailsWhileTheyAreTriedAgainEndsTheRing() throws Exception {
        try (RingWorld world = new RingWorld(directory, 3, BlkifLayout.X86_64, 1, Feature.FLUSH)) {
            fillBudget(world);
            Error bug = new AssertionError("a bug");
            world.noBuffers = bug;

            world.completeOne();

            Awaitility.await().until(() -> !world.isServed());
            assertThat(world.failures).contains(bug);
        }
    }

    /** Requests are held back by the disk until others wait for memory. */
    private static void fillBudget(RingWorld world) throws Exception {
        world.storage.holdAll();
        for (int i = 0; i < 22; i++) {
            world.ask(Blkif.BLKIF_OP_READ, 11);
        }
        assertThat(world.storage.held.size()).as("requests with memory").isBetween(1, 21);
    }
}
