package io.blocktap.terminator.image;

import io.blocktap.pipeline.RepeatedWork;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.transport.sys.Errno;
import java.util.concurrent.CompletableFuture;
import java.util.function.LongConsumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks once a second how large an image is, and tells the disk when it has grown. A smaller image is not followed: whoever cuts off data that a guest may have is wrong, and the guest
 * is told so where it reads.
 *
 * <p>Threads: a worker at a time.
 */
final class GrowthWatch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(GrowthWatch.class);
    static final long PERIOD_MILLIS = 1000;

    private final StageContext context;
    private final BlockFile file;
    private final LongConsumer grown;
    private final RepeatedWork looks;
    private CompletableFuture<Void> told = CompletableFuture.completedFuture(null);
    private long servedBytes;
    private long seenBytes;
    private boolean isCutShort;

    /**
     * Begins to look.
     *
     * @param file stays the caller's; open until this is closed
     * @param grown told of the new size in bytes before the disk is: requests for it may come from then on
     * @param periodMillis from look to look
     */
    GrowthWatch(StageContext context, BlockFile file, LongConsumer grown, long periodMillis) {
        this.context = context;
        this.file = file;
        this.grown = grown;
        this.servedBytes = file.sizeBytes();
        this.seenBytes = servedBytes;
        this.looks = context.repeat(periodMillis, this::look);
    }

    /** On a worker. */
    void look() {
        if (!told.isDone()) {
            return;
        }
        long now = file.currentSizeBytes();
        if (now == seenBytes) {
            return;
        }
        seenBytes = now;
        if (now < 0) {
            LOG.warn("[{}] the size of {} is not known: {}", context.label(), file.path(), Errno.describe((int) -now));
        } else if (now < servedBytes) {
            cutShort(now);
        } else {
            isCutShort = false;
            if (now > servedBytes) {
                servedBytes = now;
                grown.accept(now);
                told = context.resize(now); // logs how it ends
            }
        }
    }

    private void cutShort(long now) {
        if (!isCutShort) {
            isCutShort = true;
            LOG.warn(
                    "[{}] {} was cut short to {} bytes, and is served on with {}: reads past its end are I/O errors; make it as large again, or restart the server if it is to stay so",
                    context.label(),
                    file.path(),
                    now,
                    servedBytes);
        }
    }

    @Override
    public void close() {
        looks.close();
    }
}
