package io.blocktap.launcher.server;

import com.google.inject.Module;
import io.blocktap.pipeline.BoundedWorkerPool;
import io.blocktap.pipeline.ChainDisks;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.config.ConfigException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A running server: disks behind taps. What {@code blocktap serve} runs, for programs to embed.
 *
 * <pre>{@code
 * try (BlocktapServer server = BlocktapServer.builder()
 *         .modules(new MyStages())
 *         .tap("nbd:unix=/run/disk.sock")
 *         .disk("vm1", "dump image:vm1.img")
 *         .start()) {
 *     System.out.println(server.uris());
 *     waitForTheEnd();
 * }
 * }</pre>
 *
 * <p>Any thread but an event loop, since most methods wait.
 */
public final class BlocktapServer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(BlocktapServer.class);

    /**
     * How long the taps may take to close their channels. Twice what a tap gives its clients to take their last answers, so that it is the tap
     * that gives up on a client, not the server on the tap.
     */
    private static final Duration CLOSE_TAPS = Duration.ofSeconds(10);

    private final ServerSettings settings;
    private final Plugins plugins;
    private final TapLoops loops;
    private final WorkerPool workers;
    private final List<Disk> disks = new ArrayList<>();
    private final List<Tap> taps = new ArrayList<>();
    private volatile ChainDisks chainDisks = ChainDisks.NONE;
    private final Object ending = new Object();
    // Both under the lock "ending".
    private @Nullable ServerDrain drain;
    private boolean closed;
    private volatile boolean started;

    private BlocktapServer(ServerSettings settings, Plugins plugins) throws StageException {
        this.settings = settings;
        this.plugins = plugins;
        this.loops = new TapLoops(
                EventLoops.create(settings.eventLoop(), settings.threads(), settings.busyPoll()),
                settings.maxInFlightBytes());
        this.workers = new BoundedWorkerPool(settings.workers());
    }

    /** Returns a builder with the built-in stages and taps. */
    public static Builder builder() {
        return new Builder();
    }

    // ---- the start

    private static BlocktapServer start(ServerPlan plan, Plugins plugins) throws StageException {
        BlocktapServer server = new BlocktapServer(plan.settings(), plugins);
        try {
            server.open(plan);
            server.started = true;
            server.logStart();
            return server;
        } catch (StageException | RuntimeException | Error e) {
            server.undoStart();
            throw e;
        }
    }

    private void open(ServerPlan plan) throws StageException {
        DiskOpener opener = new DiskOpener(loops, workers, InstantSource.system());
        for (ChainResolver.ResolvedDisk disk : plan.disks()) {
            disks.add(opener.open(disk.spec().name(), disk.shown(), disk.stages()));
        }
        chainDisks = new ChainDisks(new ChainMaker(plan.catalog()), opener);
        DiskRegistry registry = new DiskRegistry(disks, chainDisks);
        for (ChainResolver.ResolvedTap tap : plan.taps()) {
            taps.add(tap.factory().open(tap.values(), registry, loops));
        }
    }

    private void logStart() {
        for (Disk disk : disks) {
            LOG.info(
                    "{}: {}, {} bytes{}",
                    disk.label(),
                    disk.description(),
                    disk.geometry().sizeBytes(),
                    disk.geometry().has(Feature.READ_ONLY) ? ", read-only" : "");
        }
        uris().forEach(uri -> LOG.info("clients connect to {}", uri));
    }

    /** Nothing was promised to anybody yet, but a frontend may have come through the first of two taps. */
    private void undoStart() {
        try {
            close();
        } catch (StageException e) {
            LOG.error("after the failed start: {}", e.getMessage());
        }
    }

    // ---- what there is

    /** Returns how clients reach the disks, of all taps. */
    public List<String> uris() {
        return taps.stream().flatMap(tap -> tap.uris().stream()).toList();
    }

    /** Returns the disks of the configuration. */
    public Collection<Disk> disks() {
        return List.copyOf(disks);
    }

    /** Returns the disks of the configuration, and those that taps have had opened. */
    private List<Disk> allDisks() {
        List<Disk> all = new ArrayList<>(disks);
        all.addAll(chainDisks.all());
        return all;
    }

    /** Returns the settings. */
    public ServerSettings settings() {
        return settings;
    }

    /** Returns the event loops, for clients in the same program. */
    public TapLoops loops() {
        return loops;
    }

    /**
     * Returns the number of requests in flight by session, in words; sessions that have none are left out. A loop that does not answer within
     * half a second counts as stuck.
     */
    public List<String> inFlight() {
        if (loops.group().isShuttingDown()) {
            return List.of();
        }
        return InFlight.of(allDisks()).stream().map(InFlight::toString).toList();
    }

    // ---- the end

    /**
     * Takes no new requests, waits until those in flight were answered, and flushes the disks. The first call starts it.
     *
     * @return completes when all is flushed; fails with {@link StageException} if a flush failed
     */
    public CompletableFuture<Void> drain() {
        ServerDrain started = startDrain();
        return started.done()
                .thenCompose(ok -> started.failures().isEmpty()
                        ? CompletableFuture.completedFuture(null)
                        : CompletableFuture.failedFuture(new StageException(String.join("; ", started.failures()))));
    }

    private ServerDrain startDrain() {
        synchronized (ending) {
            ServerDrain result = drain;
            if (result == null) {
                result = new ServerDrain(taps, () -> {
                    chainDisks.stop();
                    return allDisks();
                });
                drain = result;
            }
            return result;
        }
    }

    /**
     * Drains, at most for the time-out of the settings, and closes everything. Each disk and tap has its turn, whatever became of the others. Later
     * calls do nothing.
     *
     * @throws StageException if a flush failed, or the time was not enough: then it says what is in flight, and the disks concerned stay
     *     open, since their stages may still be at work
     */
    @Override
    public void close() throws StageException {
        synchronized (ending) {
            if (closed) {
                return;
            }
            closed = true;
        }
        long start = System.nanoTime();
        if (started) {
            LOG.info("draining: {}", InFlight.summary(allDisks()));
        }
        ServerDrain draining = startDrain();
        List<String> failures = new ArrayList<>();
        try {
            draining.done().get(settings.drainTimeout().toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            failures.add(
                    "not drained within " + OptionWords.duration(settings.drainTimeout()) + ": " + inFlightWords());
        } catch (ExecutionException e) {
            failures.add("draining failed: " + e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            failures.add("interrupted while draining: " + inFlightWords());
        }
        failures.addAll(draining.failures());
        if (started && failures.isEmpty()) {
            LOG.info("drained in {} ms: every request is answered, every disk flushed", millisSince(start));
        }
        closeAll(draining, failures);
        if (!failures.isEmpty()) {
            throw new StageException(String.join("; ", failures));
        }
        if (started) {
            LOG.info("stopped");
        }
    }

    private static long millisSince(long nanos) {
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - nanos);
    }

    /** Closes what nothing uses any more, in order. A step that fails keeps none of the others from being taken. */
    private void closeAll(ServerDrain draining, List<String> failures) {
        closeStep("the taps", this::closeTaps, failures);
        boolean allIdle = true;
        for (Disk disk : allDisks()) {
            if (draining.isIdle(disk)) {
                closeStep(disk.label(), disk::close, failures);
            } else {
                allIdle = false;
            }
        }
        if (allIdle) {
            closeStep("the workers", workers::close, failures);
            closeStep("the event loops", loops::close, failures);
            closeStep("the plugins", plugins::close, failures);
        } else {
            // A stage may be at work still: workers, memory and classes stay until the process ends.
            closeStep(
                    "the event loops",
                    () -> loops.group().shutdownGracefully(1, 1000, TimeUnit.MILLISECONDS),
                    failures);
        }
    }

    private static void closeStep(String what, Runnable step, List<String> failures) {
        try {
            step.run();
        } catch (Throwable e) {
            LOG.debug("closing {}", what, e);
            failures.add("closing " + what + " failed: " + e);
        }
    }

    private String inFlightWords() {
        List<String> words = inFlight();
        return words.isEmpty() ? "no requests in flight, but a flush has not ended" : String.join(", ", words);
    }

    private void closeTaps() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (Tap tap : taps) {
            try {
                all.add(tap.close());
            } catch (RuntimeException | Error e) {
                all.add(CompletableFuture.failedFuture(e));
            }
        }
        try {
            CompletableFuture.allOf(all.toArray(CompletableFuture[]::new))
                    .get(CLOSE_TAPS.toNanos(), TimeUnit.NANOSECONDS);
        } catch (ExecutionException e) {
            LOG.error("closing a tap failed", e.getCause());
        } catch (TimeoutException e) {
            LOG.error("the taps' channels are not closed after {}", OptionWords.duration(CLOSE_TAPS));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Says what a server consists of. Not thread-safe; used once. */
    public static final class Builder {
        private final List<Module> modules = new ArrayList<>();
        private final List<DiskSpec.Word> taps = new ArrayList<>();
        private final List<DiskSpec> disks = new ArrayList<>();
        private ServerSettings settings = ServerSettings.DEFAULT;
        private Plugins plugins = Plugins.NONE;

        private Builder() {}

        /** Adds Guice modules with stages, taps or, as {@link DisksModule}, disks. */
        public Builder modules(Module... added) {
            modules.addAll(List.of(added));
            return this;
        }

        /** Uses plugins; the server closes them when it is closed. */
        public Builder plugins(Plugins loaded) {
            plugins = loaded;
            return this;
        }

        /** Replaces the settings. */
        public Builder settings(ServerSettings newSettings) {
            settings = newSettings;
            return this;
        }

        /** Adds a tap by its word: {@code "nbd:unix=/run/disk.sock"}. */
        public Builder tap(String word) {
            return tap(new DiskSpec.Word(word, ""));
        }

        /** Adds a tap by its word, which stands somewhere in a file. */
        public Builder tap(DiskSpec.Word word) {
            taps.add(word);
            return this;
        }

        /**
         * Adds a disk.
         *
         * @param name what clients ask for; empty for the default disk
         * @param chain words separated by spaces, from the tap down: {@code "dump image:disk.img"}
         */
        public Builder disk(String name, String chain) {
            return disk(DiskSpec.ofWords(name, "", DiskSpec.split(chain)));
        }

        /** Adds a disk. */
        public Builder disk(DiskSpec disk) {
            disks.add(disk);
            return this;
        }

        private ServerPlan plan() throws ConfigException, StageException {
            Assembly assembly = Assembly.of(plugins, modules);
            List<DiskSpec> all = new ArrayList<>(disks);
            all.addAll(assembly.disks());
            return ServerPlan.make(settings, assembly.catalog(), taps, all);
        }

        /**
         * Checks everything, opens nothing, and returns what would be run: maps and lists of text in the shape of a configuration file.
         *
         * @throws ConfigException if words are wrong: every mistake is a line of the message
         * @throws StageException if modules or plugins contradict each other
         */
        public Map<String, Object> describe() throws ConfigException, StageException {
            return plan().describe();
        }

        /**
         * Opens the disks, then the taps: from now on clients may connect.
         *
         * @throws ConfigException if words are wrong: every mistake is a line of the message; nothing was opened
         * @throws StageException if something can not be opened; what was opened is closed again
         */
        public BlocktapServer start() throws ConfigException, StageException {
            return BlocktapServer.start(plan(), plugins);
        }
    }
}
