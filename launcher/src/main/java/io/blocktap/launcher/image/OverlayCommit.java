package io.blocktap.launcher.image;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.qcow2.Extent;
import io.blocktap.pipeline.qcow2.Qcow2Engine;
import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import java.util.function.DoubleConsumer;
import java.util.function.LongConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Writes what an overlay has into what is below it, part by part: a part is copied, made stable there, and only then taken out of the overlay. So the disk reads the same at every moment, and whoever is stopped, even by a loss
 * of power, can go on: what is done is not in the overlay any more.
 *
 * <p>The caller's thread waits; requests are made on one event loop.
 */
final class OverlayCommit {
    /** So much is copied between two flushes. */
    private static final long PART_BYTES = 128L << 20;

    private static final int COPY_BYTES = 1 << 20;
    private static final int COPIES_IN_FLIGHT = 4;

    private final Qcow2Engine overlayImage;
    private final EventLoop loop;
    private final DiskClient overlay;
    private final DiskClient base;
    private long copiedBytes;

    /** A range that the overlay has. */
    private record Range(long start, long end, boolean isZero) {}

    OverlayCommit(Qcow2Engine overlayImage, Disk overlay, Disk base, EventLoop loop)
            throws RefusedException, InterruptedException {
        this.overlayImage = overlayImage;
        this.loop = loop;
        try {
            this.overlay = loop.submit(() -> DiskClient.connect(overlay, loop)).get();
            this.base = loop.submit(() -> DiskClient.connect(base, loop)).get();
        } catch (ExecutionException e) {
            throw new RefusedException(String.valueOf(e.getMessage()));
        }
    }

    /** Returns the bytes that were written into what is below, zeroes included. */
    long copiedBytes() {
        return copiedBytes;
    }

    /**
     * Does it.
     *
     * @param progress told of the fraction that is done
     * @param isStopped whether to end soon: what was copied until then is taken out of the overlay, and what was not is left for the next time
     * @return whether it is all done
     */
    boolean run(DoubleConsumer progress, BooleanSupplier isStopped) throws IOException, InterruptedException {
        long size = overlayImage.sizeBytes();
        long at = 0;
        while (at < size && !isStopped.getAsBoolean()) {
            List<Range> part = new ArrayList<>();
            long end = nextPart(at, part, size);
            at = part.isEmpty() ? end : copy(part, end, done -> progress.accept((double) done / size), isStopped);
            long copied = at;
            part.removeIf(range -> range.start() >= copied);
            if (!part.isEmpty()) {
                await(base::flush);
                for (Range range : part) {
                    await(() -> overlay.discard(range.start(), Math.min(copied, range.end()) - range.start()));
                }
                await(overlay::flush);
            }
            progress.accept((double) at / size);
        }
        return at >= size;
    }

    /** Collects what the overlay has from an offset on, until it is enough. Returns where it ends. */
    private long nextPart(long from, List<Range> part, long size) throws IOException, InterruptedException {
        long at = from;
        long bytes = 0;
        while (at < size && bytes < PART_BYTES) {
            Extent extent = overlayImage.extentAt(at);
            if (extent.kind() == Extent.Kind.UNKNOWN) {
                bringMap(at);
                continue;
            }
            long end = extent.endBytes();
            if (extent.kind() == Extent.Kind.DATA) {
                end = Math.min(end, at + PART_BYTES);
                bytes += end - at;
            }
            if (extent.kind() != Extent.Kind.BELOW) {
                part.add(new Range(at, end, extent.kind() == Extent.Kind.ZERO));
            }
            at = end;
        }
        return at;
    }

    private void bringMap(long offset) throws IOException, InterruptedException {
        ByteBuf data = await(() -> overlay.read(offset, 512));
        if (data != null) {
            release(data);
        }
    }

    /** Copies ranges one after another. Returns up to where: the given end if that is all. */
    private long copy(List<Range> part, long partEnd, LongConsumer progress, BooleanSupplier isStopped)
            throws IOException, InterruptedException {
        long until = partEnd;
        ArrayDeque<CompletableFuture<?>> inFlight = new ArrayDeque<>();
        try {
            for (Range range : part) {
                long at = range.start();
                while (at < range.end() && until == partEnd) {
                    if (isStopped.getAsBoolean()) {
                        until = at;
                        break;
                    }
                    progress.accept(at);
                    if (inFlight.size() == COPIES_IN_FLIGHT) {
                        get(inFlight.remove());
                    }
                    long end = range.isZero() ? range.end() : Math.min(range.end(), at + COPY_BYTES);
                    inFlight.add(range.isZero() ? zero(at, end) : copy(at, end));
                    copiedBytes += end - at;
                    at = end;
                }
            }
            while (!inFlight.isEmpty()) {
                get(inFlight.remove());
            }
            return until;
        } finally {
            for (CompletableFuture<?> each : inFlight) {
                each.handle((done, failed) -> null).join(); // their buffers must be back before the loop ends
            }
        }
    }

    private CompletableFuture<@Nullable ByteBuf> zero(long start, long end) {
        return onLoop(() -> base.zero(start, end - start));
    }

    private CompletableFuture<@Nullable ByteBuf> copy(long start, long end) {
        return onLoop(() -> overlay.read(start, (int) (end - start))
                .thenCompose(data -> base.write(start, java.util.Objects.requireNonNull(data))));
    }

    private void release(ByteBuf data) throws IOException, InterruptedException {
        await(() -> {
            data.release();
            return CompletableFuture.completedFuture(null);
        });
    }

    private CompletableFuture<@Nullable ByteBuf> onLoop(Supplier<CompletableFuture<@Nullable ByteBuf>> work) {
        return CompletableFuture.supplyAsync(work, loop).thenCompose(begun -> begun);
    }

    private @Nullable ByteBuf await(Supplier<CompletableFuture<@Nullable ByteBuf>> work)
            throws IOException, InterruptedException {
        return get(onLoop(work));
    }

    private static <T> T get(CompletableFuture<T> future) throws IOException, InterruptedException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException failed ? failed : new IOException(e.getCause());
        }
    }
}
