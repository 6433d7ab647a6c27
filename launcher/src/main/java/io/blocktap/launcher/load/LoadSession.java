package io.blocktap.launcher.load;

import io.netty.channel.EventLoopGroup;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/**
 * The driving process: connects its clients, runs a workload, and prints what {@link LoadProcess} reads. One word starts each line: {@code begin}
 * and {@code end} of what is measured, {@code progress} from 0 to 1, {@code result} of one kind of request.
 */
public final class LoadSession {
    private static final long CONNECT_SECONDS = 30;
    private static final long PROGRESS_MILLIS = 100;
    private static final long STALL_SECONDS = 30;

    private final EventLoopGroup group;
    private final PrintWriter out;
    private final long stallSeconds;
    private final List<BlockClient> clients = new ArrayList<>();
    private final LoadStats stats = new LoadStats();

    /**
     * Makes a session.
     *
     * @param group one loop; stays the caller's
     * @param out for the lines
     */
    public LoadSession(EventLoopGroup group, PrintWriter out) {
        this(group, out, STALL_SECONDS);
    }

    /** Makes a session that gives up after a time without an answer. */
    LoadSession(EventLoopGroup group, PrintWriter out, long stallSeconds) {
        this.group = group;
        this.out = out;
        this.stallSeconds = stallSeconds;
    }

    /**
     * Runs a workload to its end.
     *
     * @throws IOException if the server can not be reached or the connection breaks, requests fail, or content is wrong
     */
    public void run(Target target, LoadSpec spec) throws IOException {
        try {
            int bytes = spec.verified() ? VerifiedWorkload.MOST_BYTES : spec.blockBytes();
            for (int i = 0; i < spec.jobs(); i++) {
                clients.add(connect(target, spec.queueDepth(), bytes));
            }
            long size = clients.get(0).sizeBytes();
            long range = spec.rangeBytes() == 0 ? size : Math.min(size, spec.rangeBytes());
            if (spec.verified()) {
                runVerified(range, spec);
            } else {
                runTimed(range, spec);
            }
            List<OpResult> results = stats.results();
            if (results.isEmpty()) {
                throw new IOException("no request ended while it was measured; measure longer, or the server is stuck");
            }
            for (OpResult result : results) {
                say("result " + result.toLine());
            }
        } finally {
            clients.forEach(BlockClient::close);
        }
    }

    private BlockClient connect(Target target, int depth, int bytes) throws IOException {
        CompletableFuture<BlockClient> connecting = switch (target.protocol()) {
            case LOOPBACK -> LoopbackClient.connect(group, target, depth, bytes);
            case XEN -> XenClient.connect(group, target, depth, bytes);
            case NBD_UNIX, NBD_TCP -> NbdClient.connect(group, target, depth, bytes);
        };
        return join(connecting.orTimeout(CONNECT_SECONDS, TimeUnit.SECONDS));
    }

    private static <T> T join(CompletableFuture<T> future) throws IOException {
        try {
            return future.join();
        } catch (CompletionException e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            throw cause instanceof IOException known ? known : new IOException(cause.toString(), cause);
        }
    }

    private synchronized void say(String line) {
        out.println(line);
        out.flush();
    }

    private void sayProgress(double fraction) {
        say(String.format(Locale.ROOT, "progress %.4f", Math.min(1, fraction)));
    }

    // ---- verified

    private void runVerified(long range, LoadSpec spec) throws IOException {
        BlockClient client = clients.get(0);
        requireWritable(client, true);
        VerifiedWorkload workload = new VerifiedWorkload(range & ~511L, spec.seed(), client.hasFlush());
        var progress = group.next()
                .scheduleAtFixedRate(
                        () -> sayProgress(workload.fraction()),
                        PROGRESS_MILLIS,
                        PROGRESS_MILLIS,
                        TimeUnit.MILLISECONDS);
        say("begin");
        join(onLoop(() -> {
            stats.counting(true);
            return run(client, workload);
        }));
        progress.cancel(false);
        say("end");
        if (stats.errors() > 0) {
            throw new IOException(stats.errors() + " requests failed");
        }
        if (workload.wrongPieces() > 0) {
            throw new IOException(
                    "wrong content in " + workload.wrongPieces() + " reads, first at " + workload.firstWrong());
        }
        sayProgress(1);
    }

    private static void requireWritable(BlockClient client, boolean writes) throws IOException {
        if (writes && !client.isWritable()) {
            throw new IOException("the disk is read-only; choose a workload that only reads");
        }
    }

    private CompletableFuture<Void> run(BlockClient client, Workload workload) {
        Runner runner = new Runner(client, workload, stats);
        var looking = group.next().scheduleAtFixedRate(runner::look, stallSeconds, stallSeconds, TimeUnit.SECONDS);
        return runner.start().whenComplete((done, failure) -> looking.cancel(false));
    }

    private <T> CompletableFuture<T> onLoop(java.util.function.Supplier<CompletableFuture<T>> task) {
        return CompletableFuture.supplyAsync(task, group.next()).thenCompose(started -> started);
    }

    // ---- timed

    private void runTimed(long range, LoadSpec spec) throws IOException {
        TimedWorkload.Pattern pattern = TimedWorkload.Pattern.of(spec.pattern());
        requireWritable(clients.get(0), pattern.readPercent < 100);
        long blocks = range / spec.blockBytes();
        if (blocks == 0) {
            throw new IOException("the disk has " + range + " bytes, less than one block of " + spec.blockBytes());
        }
        List<TimedWorkload> workloads = new ArrayList<>();
        List<CompletableFuture<Void>> ends = new ArrayList<>();
        for (int i = 0; i < clients.size(); i++) {
            BlockClient client = clients.get(i);
            TimedWorkload workload = new TimedWorkload(
                    pattern, spec.blockBytes(), blocks, blocks / clients.size() * i, spec.seed() * 31 + i);
            workloads.add(workload);
            ends.add(onLoop(() -> {
                client.slots().forEach(slot -> new Content(spec.seed()).fill(slot.data, 0, spec.blockBytes() & ~7));
                return run(client, workload);
            }));
        }
        schedule(spec, workloads);
        join(CompletableFuture.allOf(ends.toArray(CompletableFuture[]::new)));
        if (stats.errors() > 0) {
            throw new IOException(stats.errors() + " requests failed");
        }
    }

    private void schedule(LoadSpec spec, List<TimedWorkload> workloads) {
        var loop = group.next();
        long warmUp = spec.warmUpMillis();
        long all = warmUp + spec.measuredMillis();
        long start = System.nanoTime();
        var progress = loop.scheduleAtFixedRate(
                () -> sayProgress((System.nanoTime() - start) / 1e6 / all),
                PROGRESS_MILLIS,
                PROGRESS_MILLIS,
                TimeUnit.MILLISECONDS);
        Runnable begin = () -> {
            stats.counting(true);
            say("begin");
        };
        Runnable end = () -> {
            stats.counting(false);
            say("end");
            progress.cancel(false);
            workloads.forEach(TimedWorkload::stop);
        };
        loop.schedule(begin, warmUp, TimeUnit.MILLISECONDS);
        loop.schedule(end, all, TimeUnit.MILLISECONDS);
    }
}
