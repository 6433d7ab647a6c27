package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.BackendState;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.socket.SocketMemory;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.Future;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The disk's link to its server: sends requests while there are sessions, keeps them while there are none, and gets new sessions.
 *
 * <p>When a session breaks, all sessions are ended. Before new ones begin the server is told to end the old ones (KILL_GSERV), and has done so when it answers: what they
 * were sent and not answered is written now or never. So the requests in flight are sent again, the oldest first and each after the one before was answered, and nothing that was
 * answered can be overwritten by what is older. A request that has run out of time is failed only after the sessions that it was sent on are given up, so it can not come
 * late into what is written afterwards.
 *
 * <p>A server that ends the session whenever it gets a certain request (the original does so if its disk fails there) gets it {@link #MOST_BREAKS} times; then the request fails.
 *
 * <p>Threads: the home loop, but for {@link #open} and {@link #close}.
 */
final class GnbdLink implements DataConnection.Owner {
    private static final Logger LOG = LoggerFactory.getLogger(GnbdTerminator.class);
    private static final int MOST_BREAKS = 5;
    private static final long FIRST_PAUSE_MILLIS = 100;
    /** A session that has lasted so long was a good one: the next try comes at once. */
    private static final long GOOD_NANOS = TimeUnit.SECONDS.toNanos(2);
    /** After so many sessions in a row that were not, another client of this name is to be thought of. */
    private static final int SUSPICIOUS_BREAKS = 3;

    private static final int LEAVE_MILLIS = 1_000;
    private static final long SILENCE_CHECK_MILLIS = 2_500;

    private enum Phase {
        /** The first try. */
        OPENING,
        /** There are sessions. */
        UP,
        /** There are none; it is tried again. */
        DOWN,
        /** The disk is closed. */
        CLOSED
    }

    private final GnbdConfig config;
    private final StageContext context;
    private final EventLoop loop;
    private final SocketMemory memory = new SocketMemory();
    private final OutgoingData outgoing = new OutgoingData();
    private final Outstanding outstanding = new Outstanding();
    private final long timeoutNanos;
    private final Runnable flush = this::flush;
    private final Runnable expire = this::expire;
    private List<DataConnection> connections = List.of();
    private Phase phase = Phase.OPENING;
    private @Nullable Attempt attempt;
    private Attempt.@Nullable Opened first;
    private @Nullable Future<?> pause;
    private @Nullable Future<?> silenceChecks;
    private boolean flushScheduled;
    private @Nullable Future<?> expiry;
    /** Completes when the last sessions that were given up are closed. */
    private CompletableFuture<Void> sessionsClosed = CompletableFuture.completedFuture(null);

    private int failures;
    private int shortSessions;
    private final SilenceWatch silence;
    private long upSinceNanos;
    private long downSinceNanos;
    private @Nullable BackendState told;
    private String toldReason = "";

    GnbdLink(GnbdConfig config, StageContext context) {
        this.config = config;
        this.context = context;
        this.loop = context.home();
        this.timeoutNanos = config.timeout().toNanos();
        this.silence = new SilenceWatch(this::silent);
    }

    // ---- begin and end

    /** Logs in for the first time. Completes with what the server tells of the disk, or with a {@link ServerException}. Any thread. */
    CompletableFuture<Attempt.Opened> open() {
        CompletableFuture<Attempt.Opened> result = new CompletableFuture<>();
        loop.execute(() -> tryOnce().whenComplete((opened, failure) -> {
            if (failure != null) {
                result.completeExceptionally(Attempt.reason(failure));
            } else if (phase == Phase.OPENING) {
                first = opened;
                begin(opened);
                silenceChecks = loop.scheduleWithFixedDelay(
                        this::checkSilence, SILENCE_CHECK_MILLIS, SILENCE_CHECK_MILLIS, TimeUnit.MILLISECONDS);
                tell(BackendState.CONNECTED, "");
                result.complete(opened);
            }
        }));
        return result;
    }

    private CompletableFuture<Attempt.Opened> tryOnce() {
        try {
            Attempt next = new Attempt(config, loop, context.workers()::execute, memory, outgoing, this);
            attempt = next;
            return next.run();
        } catch (StageException e) {
            return CompletableFuture.failedFuture(new ServerException(String.valueOf(e.getMessage()), true));
        }
    }

    private void begin(Attempt.Opened opened) {
        connections = opened.connections();
        phase = Phase.UP;
        upSinceNanos = System.nanoTime();
    }

    /** Ends the sessions; requests that are still there fail. Any thread; completes when nothing is left. */
    CompletableFuture<Void> close() {
        CompletableFuture<Void> closed = new CompletableFuture<>();
        loop.execute(() -> close(closed));
        return closed;
    }

    private void close(CompletableFuture<Void> closed) {
        boolean wasUp = phase == Phase.UP;
        phase = Phase.CLOSED;
        if (pause != null) {
            pause.cancel(false);
        }
        if (silenceChecks != null) {
            silenceChecks.cancel(false);
        }
        if (expiry != null) {
            expiry.cancel(false);
        }
        Attempt last = attempt;
        if (last == null) {
            memory.close();
            closed.complete(null);
            return;
        }
        if (wasUp && outstanding.inFlight() == 0) {
            connections.forEach(DataConnection::leave);
            loop.schedule(last::cancel, LEAVE_MILLIS, TimeUnit.MILLISECONDS);
        } else {
            connections.forEach(DataConnection::drop);
            last.cancel();
        }
        connections = List.of();
        outstanding.takeBack();
        List<BlockRequest> left = outstanding.abandonAll();
        CompletableFuture.allOf(last.closed(), sessionsClosed).whenComplete((nothing, never) -> {
            left.forEach(request -> request.complete(BlockStatus.IO_ERROR));
            memory.close();
            closed.complete(null);
        });
    }

    /**
     * Fails requests that were in flight, when the sessions that they were sent on are closed: until then the system may still write into a READ's buffer, and send from a WRITE's
     * (with io_uring).
     */
    private void failAfterSessions(List<BlockRequest> requests) {
        sessionsClosed.whenComplete(
                (nothing, never) -> requests.forEach(request -> request.complete(BlockStatus.IO_ERROR)));
    }

    // ---- requests

    /** Takes a READ or WRITE of at least one byte; it will be completed. */
    void submit(BlockRequest request) {
        if (phase == Phase.CLOSED) {
            request.complete(BlockStatus.IO_ERROR);
            return;
        }
        long deadline = 0;
        if (timeoutNanos > 0) {
            deadline = System.nanoTime() + timeoutNanos;
            scheduleExpiry(timeoutNanos);
        }
        outstanding.add(request, deadline);
        pump();
    }

    /** Sends what may be sent. What was sent before goes alone. */
    private void pump() {
        boolean any = false;
        // A write may fail at once and break the sessions in the middle of this.
        while (phase == Phase.UP && (outstanding.again() == 0 || outstanding.inFlight() == 0)) {
            Piece piece = outstanding.takeUnsent();
            if (piece == null) {
                break;
            }
            DataConnection connection = leastBusy();
            outstanding.sent(piece, connection);
            connection.send(piece);
            any = true;
        }
        if (any && !flushScheduled) {
            flushScheduled = true;
            loop.execute(flush); // after all that this turn brings
        }
    }

    private DataConnection leastBusy() {
        DataConnection best = connections.get(0);
        for (int i = 1; i < connections.size(); i++) {
            if (connections.get(i).inFlight() < best.inFlight()) {
                best = connections.get(i);
            }
        }
        return best;
    }

    private void flush() {
        flushScheduled = false;
        for (int i = 0; i < connections.size(); i++) {
            connections.get(i).flush();
        }
    }

    @Override
    public @Nullable Piece find(long handle, DataConnection connection) {
        return outstanding.find(handle, connection);
    }

    @Override
    public void answered(Piece piece, BlockStatus status) {
        boolean wasAgain = piece.isAgain;
        Transfer ended = outstanding.answered(piece, status);
        if (wasAgain) {
            pump();
        }
        if (ended != null) {
            BlockStatus result = ended.status;
            outstanding.end(ended).complete(result);
        }
    }

    // ---- time

    private void scheduleExpiry(long afterNanos) {
        if (expiry == null) {
            expiry = loop.schedule(expire, afterNanos, TimeUnit.NANOSECONDS);
        }
    }

    private void expire() {
        expiry = null;
        long now = System.nanoTime();
        if (outstanding.isLateInFlight(now)) {
            breakOff("no answer for " + config.timeout().toMillis() + " ms (timeout)");
        }
        List<BlockRequest> late = outstanding.abandonLate(now);
        Transfer oldest = outstanding.oldest();
        if (oldest != null) {
            scheduleExpiry(oldest.deadlineNanos - now);
        }
        if (!late.isEmpty()) {
            LOG.warn(
                    "[{}] {} of {} had no answer for {} ms (timeout), answered with an I/O error: {}",
                    context.label(),
                    late.size() == 1 ? "a request" : late.size() + " requests",
                    config.server(),
                    config.timeout().toMillis(),
                    late.get(0));
            failAfterSessions(late);
        }
    }

    private void checkSilence() {
        Transfer oldest = outstanding.oldest();
        if (phase == Phase.DOWN) {
            silence.check(SilenceWatch.AWAY);
        } else {
            silence.check(oldest == null ? SilenceWatch.NOTHING : oldest.number);
        }
    }

    private void silent(long seconds, boolean isOver) {
        String what = phase == Phase.DOWN ? "can not be used" : "gives no answer";
        if (isOver) {
            LOG.info("[{}] {} goes on after about {} s", context.label(), config.server(), seconds);
        } else {
            LOG.warn(
                    "[{}] {} {} for {} s, {} requests wait{}",
                    context.label(),
                    config.server(),
                    what,
                    seconds,
                    outstanding.requests(),
                    toldReason.isEmpty() ? "" : ": " + toldReason);
        }
    }

    // ---- breaks

    @Override
    public void broken(DataConnection connection, String reason, boolean isPeers) {
        if (phase != Phase.UP || !connections.contains(connection)) {
            return;
        }
        Piece only = isPeers ? outstanding.onlyInFlight() : null;
        Transfer failed = only != null && ++only.breaks >= MOST_BREAKS ? only.owner() : null;
        breakOff(reason);
        if (failed != null) {
            BlockRequest request = outstanding.abandon(failed);
            LOG.error(
                    "[{}] {} has ended the session {} times when it got {}, which is answered with an I/O error; its log may say why",
                    context.label(),
                    config.server(),
                    MOST_BREAKS,
                    request);
            failAfterSessions(List.of(request));
        }
    }

    /** Gives up all sessions, takes back what is in flight, and tries again. */
    private void breakOff(String reason) {
        if (phase != Phase.UP) {
            return;
        }
        phase = Phase.DOWN;
        downSinceNanos = System.nanoTime();
        outstanding.takeBack();
        connections.forEach(DataConnection::drop);
        connections = List.of();
        shortSessions = downSinceNanos - upSinceNanos < GOOD_NANOS ? shortSessions + 1 : 0;
        failures = shortSessions;
        LOG.warn(
                "[{}] {}: {}; {} requests wait, trying again{}",
                context.label(),
                config.server(),
                reason,
                outstanding.requests(),
                shortSessions < SUSPICIOUS_BREAKS
                        ? ""
                        : ". Is another client logged in as node '" + config.node() + "'? Give each a node=NAME");
        tell(BackendState.RECONNECTING, reason);
        Attempt last = attempt;
        if (last != null) {
            // Not before: a read of the old session may still write into a request's buffer.
            sessionsClosed = last.closed();
            sessionsClosed.whenComplete((nothing, never) -> tryAgainLater());
        }
    }

    private void tryAgainLater() {
        if (phase != Phase.DOWN) {
            return;
        }
        if (failures == 0) {
            tryAgain();
        } else {
            long longest = config.longestPause().toMillis();
            long millis = Math.min(longest, FIRST_PAUSE_MILLIS << Math.min(failures - 1, 20));
            pause = loop.schedule(this::tryAgain, millis, TimeUnit.MILLISECONDS);
        }
    }

    private void tryAgain() {
        pause = null;
        if (phase != Phase.DOWN) {
            return;
        }
        Attempt.Opened was = first;
        tryOnce().whenComplete((opened, failure) -> {
            if (phase != Phase.DOWN) {
                return; // closed meanwhile, and the try's connections with it
            }
            ServerException reason = failure != null ? Attempt.reason(failure) : difference(was, opened);
            if (reason == null) {
                resume(opened);
                return;
            }
            failures++;
            if (failure == null) {
                opened.connections().forEach(DataConnection::drop);
            }
            String words = String.valueOf(reason.getMessage());
            if (tell(reason.isRefusal() ? BackendState.FAILED : BackendState.RECONNECTING, words)) {
                LOG.warn("[{}] {} can not be used: {}; trying again", context.label(), config.server(), words);
            }
            tryAgainLater();
        });
    }

    /** Says why what the server has now can not take the place of what it had. */
    private static @Nullable ServerException difference(Attempt.@Nullable Opened was, Attempt.Opened is) {
        if (was == null) {
            return null;
        }
        if (is.sizeBytes() != was.sizeBytes()) {
            return new ServerException(
                    "the disk has " + is.sizeBytes() + " bytes now, it had " + was.sizeBytes()
                            + "; give the export its size back, or start the disk anew",
                    true);
        }
        return is.export().isReadOnly() && !was.export().isReadOnly()
                ? new ServerException("the export can only be read now; export it for writing again", true)
                : null;
    }

    private void resume(Attempt.Opened opened) {
        begin(opened);
        LOG.info(
                "[{}] {} is back after {} ms; {} requests have waited, {} of their parts are sent again",
                context.label(),
                config.server(),
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - downSinceNanos),
                outstanding.requests(),
                outstanding.again());
        tell(BackendState.CONNECTED, "");
        pump();
    }

    /** Tells control hooks, unless that was the last that they were told; returns whether it was news. */
    private boolean tell(BackendState state, String reason) {
        if (state == told && reason.equals(toldReason)) {
            return false;
        }
        told = state;
        toldReason = reason;
        context.backend(state, reason);
        return true;
    }
}
