package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.LoggerFactory;

/**
 * Whenever a server is killed, the next one on the same ring, with the table that is left, answers every request of the guest exactly once, keeps what was acknowledged, and keeps
 * the order of barriers. The table is a mapped file, the ring real memory, the codec and the stream the real ones.
 */
class RingTakeoverTest {
    private static final Logger CODEC_LOG = (Logger) LoggerFactory.getLogger(BlkifCodec.class);

    @BeforeAll
    static void nonsenseIsNotToldHere() {
        CODEC_LOG.setLevel(Level.ERROR);
    }

    @AfterAll
    static void restoreLog() {
        CODEC_LOG.setLevel(null);
    }

    @TempDir
    Path directory;

    @ParameterizedTest
    @CsvSource({"X86_64, 1, FUA", "X86_64, 4, DISCARD", "X86_32, 1, DISCARD", "X86_32, 2, FUA"})
    void everyRequestIsAnsweredOnceWhereverTheServerIsKilled(BlkifLayout layout, int ringPages, Feature extra)
            throws Exception {
        long seed = new Random().nextLong();
        int redone = 0;
        int puts = 0;
        for (int round = 0; round < 6; round++, seed++) {
            try (RingWorld world =
                    new RingWorld(directory, seed, layout, ringPages, Feature.FLUSH, Feature.DISCARD, extra)) {
                world.dieIn(1 + world.random.nextInt(500));
                for (int i = 0; i < 200; i++) {
                    world.randomStep();
                    while (world.isDead()) {
                        world.restart(1 + world.random.nextInt(world.random.nextBoolean() ? 10 : 3000));
                    }
                    world.complain();
                }
                world.dieIn(Integer.MAX_VALUE);
                world.finish();
                world.complain();
                redone += world.redone;
                puts += world.guest.puts;
            } catch (Throwable t) {
                throw new AssertionError(
                        "seed " + seed + ", " + layout + ", " + ringPages + " page(s), " + extra + ": " + t, t);
            }
        }
        assertThat(puts).as("requests").isGreaterThan(500);
        assertThat(redone).as("requests that were done again").isGreaterThan(10);
    }

    @Test
    void barrierThatWasWaitingComesAfterThoseBeforeItAgain() throws Exception {
        try (RingWorld world = new RingWorld(directory, 1, BlkifLayout.X86_64, 1, Feature.FLUSH)) {
            world.storage.holdAll();
            world.ask(Blkif.BLKIF_OP_WRITE, 2);
            world.ask(Blkif.BLKIF_OP_WRITE, 1);
            world.ask(Blkif.BLKIF_OP_WRITE_BARRIER, 1);
            world.ask(Blkif.BLKIF_OP_WRITE, 1);
            assertThat(world.storage.held()).containsExactly("WRITE", "WRITE");

            world.kill();
            world.restart(Integer.MAX_VALUE);

            assertThat(world.redone)
                    .as("the two and the barrier; the one after it is still in the ring")
                    .isEqualTo(3);
            assertThat(world.storage.held()).containsExactly("WRITE", "WRITE");
            world.completeOne();
            assertThat(world.storage.held())
                    .as("one of those before it is not done")
                    .containsExactly("WRITE");
            world.completeOne();
            for (String part : List.of("FLUSH", "WRITE", "FLUSH")) {
                assertThat(world.storage.held()).as("the barrier alone").containsExactly(part);
                world.completeOne();
            }
            assertThat(world.storage.held()).as("the write after it").containsExactly("WRITE");
            world.finish();
            world.complain();
        }
    }

    @Test
    void afterAFailedFlushTheNextServerRefusesWrites() throws Exception {
        try (RingWorld world = new RingWorld(directory, 2, BlkifLayout.X86_64, 1, Feature.FLUSH)) {
            world.storage.failFlushes = BlockStatus.IO_ERROR;
            world.guest.expects(Blkif.BLKIF_RSP_ERROR);
            world.ask(Blkif.BLKIF_OP_FLUSH_DISKCACHE, 0);
            world.collect();
            world.storage.failFlushes = null;

            world.kill();
            world.restart(Integer.MAX_VALUE);

            for (int operation : new int[] {Blkif.BLKIF_OP_WRITE, Blkif.BLKIF_OP_WRITE_BARRIER}) {
                world.ask(operation, 1);
                world.collect();
                assertThat(world.guest.waiting).isEmpty();
            }
            world.guest.expects(Blkif.BLKIF_RSP_OKAY);
            world.ask(Blkif.BLKIF_OP_READ, 1);
            world.finish();
        }
    }
}
