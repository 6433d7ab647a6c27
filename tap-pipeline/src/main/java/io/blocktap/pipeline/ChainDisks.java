package io.blocktap.pipeline;

import io.blocktap.pipeline.config.ChainPolicy;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Disks that are not in the configuration: a toolstack has named a chain, and a policy allows it. Each is opened for one frontend and closed when that is gone, or
 * with the server.
 *
 * <p>Any thread. Opening and closing happen on threads of their own, which end when they have nothing to do: an open may wait seconds for an image's lock, and the workers have
 * the requests of other disks to do.
 */
public final class ChainDisks {
    /** Opens none. */
    public static final ChainDisks NONE = new ChainDisks();

    /** Turns the text of a chain into stages. */
    @FunctionalInterface
    public interface Maker {
        /**
         * Makes the stages, opens nothing.
         *
         * @param chain words between spaces
         * @param policy what is asked of each word
         * @return from the tap down
         * @throws StageException if a word is wrong, or not allowed; one line that says what would be right
         */
        List<DiskOpener.Unopened> make(String chain, ChainPolicy policy) throws StageException;
    }

    private static final int MOST_AT_A_TIME = 16;
    private static final int THREAD_IDLE_SECONDS = 10;

    private final @Nullable Maker maker;
    private final @Nullable DiskOpener opener;
    private final @Nullable Executor threads;
    // Guarded by itself, and so is the flag.
    private final Set<Disk> open = new LinkedHashSet<>();
    private boolean stopped;

    /** Makes one that opens disks. */
    public ChainDisks(Maker maker, DiskOpener opener) {
        this.maker = maker;
        this.opener = opener;
        ThreadPoolExecutor pool = new ThreadPoolExecutor(
                MOST_AT_A_TIME,
                MOST_AT_A_TIME,
                THREAD_IDLE_SECONDS,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(),
                new DefaultThreadFactory("blocktap-chains", true));
        pool.allowCoreThreadTimeOut(true);
        threads = pool;
    }

    private ChainDisks() {
        maker = null;
        opener = null;
        threads = null;
    }

    /**
     * Opens a disk.
     *
     * @param name its name for the log; nobody finds it by that
     * @return fails with {@link StageException} if the chain is wrong, not allowed, or can not be opened. Whoever gets the disk closes it by {@link #close}
     */
    public CompletableFuture<Disk> open(String name, String chain, ChainPolicy policy) {
        Executor pool = threads;
        if (pool == null) {
            return CompletableFuture.failedFuture(new StageException("this server opens no chains"));
        }
        return CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return openNow(name, chain, policy);
                    } catch (StageException e) {
                        throw new CompletionException(e);
                    }
                },
                pool);
    }

    private Disk openNow(String name, String chain, ChainPolicy policy) throws StageException {
        Maker stages = Objects.requireNonNull(maker);
        Disk disk = Objects.requireNonNull(opener).open(name, chain, stages.make(chain, policy));
        synchronized (open) {
            if (!stopped) {
                open.add(disk);
                return disk;
            }
        }
        disk.close();
        throw new StageException("the server is going down");
    }

    /**
     * Closes a disk after what is in flight was answered and flushed. Its streams must have been told to take no more.
     *
     * @return completes when its stages are closed; fails with {@link StageException} if the flush failed
     */
    public CompletableFuture<Void> close(Disk disk) {
        return disk.drain()
                .thenAcceptAsync(
                        status -> {
                            disk.close();
                            synchronized (open) {
                                open.remove(disk);
                            }
                            if (status != BlockStatus.OK) {
                                throw new CompletionException(new StageException(disk.label()
                                        + ": the last flush failed with " + status
                                        + "; writes since the one before may not be on stable storage"));
                            }
                        },
                        Objects.requireNonNull(threads));
    }

    /** Opens no more, not even what is being opened: the server is going down. */
    public void stop() {
        synchronized (open) {
            stopped = true;
        }
    }

    /** Returns those that are open. */
    public Collection<Disk> all() {
        synchronized (open) {
            return new ArrayList<>(open);
        }
    }
}
