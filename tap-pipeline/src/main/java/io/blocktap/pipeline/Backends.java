package io.blocktap.pipeline;

import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;

/**
 * How the backends of a disk's stages stand, and the way of the news of them to the control hooks: one after another, in the order in which they were told.
 *
 * <p>Threads: told on any; the hooks hear of them on the disk's home loop.
 */
final class Backends implements BackendNews {
    private final CompletableFuture<Disk> opened = new CompletableFuture<>();
    private final Map<String, ControlMessage.Backend> latest = new ConcurrentHashMap<>();
    /** The last news, whether they have been heard or not. Guarded by this. */
    private CompletableFuture<Void> last = CompletableFuture.completedFuture(null);

    /** From now on the disk's control hooks hear of news; those that were told before come first. */
    void begin(Disk disk) {
        opened.complete(disk);
    }

    /** Returns the last news of each backend, by the name of its stage. */
    Map<String, ControlMessage.Backend> latest() {
        return Map.copyOf(latest);
    }

    @Override
    public synchronized void tell(ControlMessage.Backend news) {
        latest.put(news.stage(), news);
        last = last.handle((ok, failure) -> opened)
                .thenCompose(disk -> disk)
                .thenCompose(disk -> CompletableFuture.runAsync(() -> carryOut(disk, news), disk.home()));
    }

    private static void carryOut(Disk disk, ControlMessage.Backend news) {
        try {
            disk.beginTelling();
        } catch (RefusedException e) {
            return; // the stages are about to be closed
        }
        try {
            disk.chain().control(news);
        } catch (RefusedException e) {
            Logs.DISK.warn("[{}] news of a backend can not be refused: {}", disk.logName(), e.getMessage());
        } finally {
            disk.told();
        }
    }
}
