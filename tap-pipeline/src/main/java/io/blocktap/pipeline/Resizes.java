package io.blocktap.pipeline;

import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Takes new sizes of a disk's stages up its chain: one at a time, in the order in which they were told.
 *
 * <p>Threads: told on any; carried out on the disk's home loop, where a stage that is confined to one loop has its hooks called.
 */
final class Resizes {
    private final CompletableFuture<Disk> opened = new CompletableFuture<>();
    /** The last one told, whether it has ended or not. Guarded by this. */
    private CompletableFuture<Void> last = CompletableFuture.completedFuture(null);

    /** Returns the way by which a stage, opened or about to be, tells its size. */
    Resizer of(Stage stage) {
        return sizeBytes -> resize(stage, sizeBytes);
    }

    /** From now on sizes can change; what was told before is carried out. */
    void begin(Disk disk) {
        opened.complete(disk);
    }

    /** There will be no disk. */
    void fail() {
        opened.completeExceptionally(new RefusedException("the disk could not be opened"));
    }

    private CompletableFuture<Void> resize(Stage stage, long sizeBytes) {
        if (sizeBytes < 0) {
            throw new IllegalArgumentException("size of " + sizeBytes + " bytes");
        }
        CompletableFuture<Void> mine;
        synchronized (this) {
            mine = last.handle((ok, failure) -> opened)
                    .thenCompose(disk -> disk)
                    .thenCompose(
                            disk -> CompletableFuture.supplyAsync(() -> carryOut(disk, stage, sizeBytes), disk.home()))
                    .thenCompose(done -> done);
            last = mine;
        }
        return mine.copy(); // the order is not the caller's to change
    }

    /** On the home loop. */
    private static CompletableFuture<Void> carryOut(Disk disk, Stage stage, long sizeBytes) {
        try {
            disk.beginTelling();
            try {
                return change(disk, stage, sizeBytes);
            } finally {
                disk.told();
            }
        } catch (RefusedException e) {
            Logs.DISK.warn(
                    "[{}] stays at {} bytes: {}",
                    disk.logName(),
                    disk.geometry().sizeBytes(),
                    e.getMessage());
            return CompletableFuture.failedFuture(e);
        } catch (RuntimeException e) {
            Logs.DISK.error(
                    "[{}] stays at {} bytes: a stage failed",
                    disk.logName(),
                    disk.geometry().sizeBytes(),
                    e);
            return CompletableFuture.failedFuture(e);
        }
    }

    private static CompletableFuture<Void> change(Disk disk, Stage stage, long sizeBytes) throws RefusedException {
        while (true) {
            Chain old = disk.chain();
            int position = old.find(stage);
            if (position < 0) {
                throw new RefusedException("a stage that is not in the chain has told " + sizeBytes + " bytes");
            }
            Chain resized = old.resized(position, sizeBytes);
            ControlMessage message = null;
            if (!resized.geometry().equals(old.geometry())) {
                message = new ControlMessage.Resize(old.geometry(), resized.geometry());
                old.control(message);
            }
            CompletableFuture<Void> switched = switchTo(disk, old, resized, message);
            if (switched != null) {
                return switched.thenRun(() -> tell(disk, old, position, sizeBytes, resized.geometry()));
            }
            // A stage was added or removed meanwhile: asked again, for nobody has asked that one.
        }
    }

    /** Returns null if the chain is not the old one any more. */
    private static @Nullable CompletableFuture<Void> switchTo(
            Disk disk, Chain old, Chain resized, @Nullable ControlMessage accepted) throws RefusedException {
        CompletableFuture<Void> switched = null;
        try {
            switched = disk.replaceSizes(old, resized);
            return switched;
        } finally {
            if (switched == null && accepted != null) {
                old.withdraw(accepted, old.length());
            }
        }
    }

    /** After all streams take requests of the new size: a frontend that has heard of it may use it at once. */
    private static void tell(Disk disk, Chain old, int position, long sizeBytes, Geometry now) {
        if (now.equals(old.geometry())) {
            Logs.DISK.info(
                    "[{}] {} has {} bytes now, frontends still see {}",
                    disk.logName(),
                    old.name(position),
                    sizeBytes,
                    now.sizeBytes());
            return;
        }
        Logs.DISK.info(
                "[{}] has {} bytes now, it had {}",
                disk.logName(),
                now.sizeBytes(),
                old.geometry().sizeBytes());
        disk.tellGeometry(now);
    }
}
