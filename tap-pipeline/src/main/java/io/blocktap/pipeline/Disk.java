package io.blocktap.pipeline;

import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One chain with its stages opened: what a frontend sees. Several sessions may share it.
 *
 * <p>Life: {@link DiskOpener} opens it; taps {@link #connect} sessions and open streams; {@link #drain} waits for what is in flight and flushes; {@link
 * #close} closes the stages. The chain may change while requests run ({@link #addStage}, {@link #removeStage}).
 *
 * <p>Any thread, unless a method says otherwise.
 */
public final class Disk {
    private static final int DISCONNECT_SECONDS = 5;

    /** How a disk stands. */
    public enum State {
        /** It takes sessions and requests. */
        SERVING,
        /** It takes no new sessions; requests in flight are being settled. */
        DRAINING,
        /** Its stages are closed. */
        CLOSED
    }

    private final String name;
    private final String description;
    private final TapLoops loops;
    private final EventLoop home;
    private final WorkerPool workers;
    private final Set<Session> sessions = ConcurrentHashMap.newKeySet();
    private final List<Consumer<Geometry>> geometryListeners = new java.util.concurrent.CopyOnWriteArrayList<>();
    private final AtomicLong sessionNumbers = new AtomicLong();
    private final List<RequestStream> streams = new ArrayList<>();
    private final Resizes resizes;
    private final Backends backends;
    /** What stages hear of at this moment, on event loops: a session's begin or end, a new size. Guarded by the streams. */
    private int beingTold;
    // Held while the chain changes, which includes the opening of a stage and may take long; streams' lock never does.
    private final Object changes = new Object();
    private volatile Chain chain;
    private volatile Admission admission;
    private volatile Geometry geometry;
    private volatile State state = State.SERVING;

    Disk(
            String name,
            String description,
            Chain chain,
            TapLoops loops,
            EventLoop home,
            WorkerPool workers,
            Resizes resizes,
            Backends backends) {
        this.name = name;
        this.description = description;
        this.chain = chain;
        this.geometry = chain.geometry();
        this.admission = new Admission(geometry);
        this.loops = loops;
        this.home = home;
        this.workers = workers;
        this.resizes = resizes;
        this.backends = backends;
    }

    /** Returns the name: an export's name, a section of the config file. Empty for the only disk of a command line. */
    public String name() {
        return name;
    }

    /** Returns the name as messages and the log show it: {@code disk 'vm1'}, or {@code the default disk} if it has no name. */
    public String label() {
        return name.isEmpty() ? "the default disk" : "disk '" + name + "'";
    }

    /** Returns the name for the start of a line of the log, where brackets are around it. */
    String logName() {
        return name.isEmpty() ? "default disk" : name;
    }

    /** Returns the chain in its own grammar, for people. */
    public String description() {
        return description;
    }

    /** Returns what frontends see of it now. */
    public Geometry geometry() {
        return geometry;
    }

    /** Returns how it stands. */
    public State state() {
        return state;
    }

    /** Returns the names of the stages, from the tap down. */
    public List<String> stageNames() {
        return chain.links().stream().map(Chain.Link::name).toList();
    }

    /** Returns the sessions that are connected now. */
    public Set<Session> sessions() {
        return Set.copyOf(sessions);
    }

    /** Returns whether all its streams must run on {@link #home()}, because a stage is confined to one loop. */
    public boolean isPinned() {
        return chain.links().stream().anyMatch(link -> link.stage().sharing() == Stage.Sharing.ONE_LOOP);
    }

    /** Returns the loop that the disk's stages are confined to, if it {@linkplain #isPinned is pinned}. */
    public EventLoop home() {
        return home;
    }

    /**
     * Returns the loop that a new channel of this disk is to run on.
     *
     * @param preferred where it would run if the disk does not care
     */
    public EventLoop loopFor(EventLoop preferred) {
        return isPinned() ? home : preferred;
    }

    // ---- sessions and streams

    /**
     * Asks the chain to accept a frontend. On the loop that the stream will run on.
     *
     * @param tap the kind of tap
     * @param peer who it is
     * @throws RefusedException if a control hook refuses, or the disk is going down; the message is for the frontend
     */
    public Session connect(String tap, String peer) throws RefusedException {
        beginTelling();
        Session session = new Session(sessionNumbers.incrementAndGet(), this, tap, peer);
        try {
            chain.control(new ControlMessage.Connect(session, geometry));
            sessions.add(session);
        } finally {
            told();
        }
        Logs.DISK.info("[{}] connected: {} {}", logName(), tap, peer);
        return session;
    }

    /** Opens a stream of requests for a session, on the stream's event loop. */
    public RequestStream openStream(Session session, EventLoop loop, RequestStream.Sink sink) {
        if (isPinned() && loop != home) {
            throw new IllegalStateException(label() + " is pinned to another event loop");
        }
        synchronized (streams) {
            RequestStream stream = new RequestStream(session, loop, loops.memory(loop), sink, chain, admission);
            streams.add(stream);
            session.streams().add(stream);
            return stream;
        }
    }

    /** Forgets a stream after its last request was answered; with its last stream the session ends. On the stream's event loop. */
    public void closeStream(RequestStream stream) {
        Session session = stream.session();
        session.streams().remove(stream);
        boolean isOver;
        synchronized (streams) {
            streams.remove(stream);
            isOver = session.streams().isEmpty() && sessions.remove(session);
            if (isOver) {
                beingTold++;
            }
        }
        if (isOver) {
            try {
                disconnected(session);
            } finally {
                told();
            }
        }
    }

    /** Stages are about to be told of something that they may refuse; until {@link #told} they are not closed. */
    void beginTelling() throws RefusedException {
        synchronized (streams) {
            if (state != State.SERVING) {
                throw new RefusedException(label() + " is going down");
            }
            beingTold++;
        }
    }

    /** The stages were told; {@link #close} may go on. */
    void told() {
        synchronized (streams) {
            beingTold--;
            streams.notifyAll();
        }
    }

    /** Ends a session that got no stream, because its tap could not open one. On the loop that the stream was to run on. */
    public void abandon(Session session) {
        if (session.streams().isEmpty() && sessions.remove(session)) {
            disconnected(session);
        }
    }

    private void disconnected(Session session) {
        try {
            chain.control(new ControlMessage.Disconnect(session));
        } catch (RefusedException e) {
            Logs.DISK.warn("[{}] disconnect can not be refused: {}", logName(), e.getMessage());
        }
        Logs.DISK.info("[{}] disconnected: {} {}", logName(), session.tap(), session.peer());
    }

    /** Returns the last news of each backend that may come and go, by the name of its stage; empty for a disk that has none. */
    public Map<String, ControlMessage.Backend> backends() {
        return backends.latest();
    }

    /** Asks to be told of every change of the geometry, from any thread. */
    public void onGeometryChange(Consumer<Geometry> listener) {
        geometryListeners.add(listener);
    }

    /** Takes back {@link #onGeometryChange}. */
    public void removeGeometryListener(Consumer<Geometry> listener) {
        geometryListeners.remove(listener);
    }

    /**
     * Sends a control message down the chain, on the disk's home loop if it is pinned.
     *
     * @return completes normally if nobody refused, else with {@link RefusedException}
     */
    public CompletableFuture<Void> control(ControlMessage message) {
        CompletableFuture<Void> result = new CompletableFuture<>();
        Runnable task = () -> {
            try {
                chain.control(message);
                result.complete(null);
            } catch (Throwable e) {
                result.completeExceptionally(e);
            }
        };
        if (!isPinned() || home.inEventLoop()) {
            task.run();
        } else {
            home.execute(task);
        }
        return result;
    }

    // ---- changes of the chain

    /**
     * Puts a stage into the running chain. Requests that come from now on pass it; those on their way don't.
     *
     * @param position 0 is next to the tap; the terminator stays last
     * @param stageName unique in the chain
     * @param stage not opened yet; opened here, so this may wait
     * @throws StageException if it can not be opened, or would change what frontends were told
     */
    public void addStage(int position, String stageName, Stage stage) throws StageException {
        synchronized (changes) {
            Chain old = chain;
            if (state != State.SERVING || position < 0 || position >= old.length() || old.find(stageName) >= 0) {
                throw new StageException("can not add " + stageName + " at position " + position + " of "
                        + old.describe() + (state == State.SERVING ? "" : ": the disk is going down"));
            }
            Geometry below = old.links().get(position).geometry();
            Geometry offered = stage.open(contextOf(stageName, stage, old, position), below);
            Chain.Link link = new Chain.Link(stageName, stage, offered);
            try {
                if (!offered.equals(below)) {
                    throw new StageException(stageName + " would change the geometry under a running frontend: " + below
                            + " to " + offered);
                }
                putIn(link, old, old.with(position, link));
            } catch (StageException e) {
                closeStage(link);
                throw e;
            }
        }
        Logs.DISK.info("[{}] added {} to the chain: {}", logName(), stageName, chain.describe());
    }

    private StageContext contextOf(String stageName, Stage stage, Chain old, int position) {
        return new StageContext(
                name,
                stageName,
                workers,
                java.time.InstantSource.system(),
                loops.group(),
                home,
                resizes.of(stage),
                backends,
                old.links().subList(0, position).stream()
                        .anyMatch(link -> link.stage().onlyReadsBelow()),
                old.links().get(position).stage());
    }

    private void putIn(Chain.Link link, Chain old, Chain newChain) throws StageException {
        synchronized (streams) {
            if (state != State.SERVING) {
                throw new StageException("can not add " + link.name() + ": the disk is going down");
            }
            if (chain != old) {
                throw new StageException("can not add " + link.name() + ": the disk was resized meanwhile; try again");
            }
            // Streams that are on the home loop already stay there; later ones are sent there.
            if (link.stage().sharing() == Stage.Sharing.ONE_LOOP
                    && streams.stream().anyMatch(stream -> stream.eventLoop() != home)) {
                throw new StageException(
                        link.name() + " is confined to one event loop, the disk's channels are spread over several");
            }
            switchAll(newChain);
        }
    }

    /**
     * Takes an interposer out of the running chain. Requests that come from now on don't pass it; those that it has seen pass it
     * on their way up.
     *
     * @return completes when no request uses the stage any more and it was closed
     * @throws StageException if there is no such interposer, or what it offers differs from what is below
     */
    public CompletableFuture<Void> removeStage(String stageName) throws StageException {
        CompletableFuture<Void> unused;
        Chain.Link removed;
        synchronized (changes) {
            synchronized (streams) { // the sizes of the chain may change meanwhile
                Chain old = chain;
                int position = old.find(stageName);
                if (position < 0 || position == old.length() - 1) {
                    throw new StageException("no interposer '" + stageName + "' in " + old.describe());
                }
                removed = old.links().get(position);
                if (!removed.geometry().equals(old.links().get(position + 1).geometry())) {
                    throw new StageException(
                            stageName + " can not be removed from a running disk: it changes the disk's geometry");
                }
                unused = switchAll(old.without(position));
            }
        }
        Logs.DISK.info("[{}] removed {} from the chain: {}", logName(), stageName, chain.describe());
        return unused.thenRunAsync(() -> closeStage(removed), workers::execute);
    }

    private CompletableFuture<Void> switchAll(Chain newChain) {
        chain = newChain;
        List<CompletableFuture<Void>> unused = new ArrayList<>();
        for (RequestStream stream : streams) {
            CompletableFuture<Void> done = new CompletableFuture<>();
            unused.add(done);
            stream.eventLoop().execute(() -> stream.switchTo(newChain, admission, () -> done.complete(null)));
        }
        return CompletableFuture.allOf(unused.toArray(CompletableFuture[]::new));
    }

    // ---- changes of the size, for Resizes

    /** Returns the chain at this moment. */
    Chain chain() {
        return chain;
    }

    /**
     * Puts a chain of the same stages with other sizes into the place of the old one. Requests that come from now on are checked against it.
     *
     * @return completes when that is so in all streams; null if the old chain is not in use any more
     * @throws RefusedException if the disk is going down
     */
    @Nullable
    CompletableFuture<Void> replaceSizes(Chain old, Chain resized) throws RefusedException {
        synchronized (streams) {
            if (state != State.SERVING) {
                throw new RefusedException(label() + " is going down");
            }
            if (chain != old) {
                return null;
            }
            chain = resized;
            geometry = resized.geometry();
            Admission checks = new Admission(resized.geometry());
            admission = checks;
            return CompletableFuture.allOf(streams.stream()
                    .map(stream -> CompletableFuture.runAsync(
                            () -> stream.switchTo(resized, checks, () -> {}), stream.eventLoop()))
                    .toArray(CompletableFuture[]::new));
        }
    }

    /** Tells all who have asked to be told. */
    void tellGeometry(Geometry now) {
        for (Consumer<Geometry> listener : geometryListeners) {
            try {
                listener.accept(now);
            } catch (RuntimeException e) { // its loop has ended, for example: the others are to hear of it
                Logs.DISK.warn("[{}] a tap was not told of the new size: {}", logName(), e.toString());
            }
        }
    }

    // ---- the end

    /**
     * Takes no more sessions, waits until every request in flight was answered, and flushes. The taps must have stopped taking
     * requests, or it never ends.
     *
     * @return completes with how the flush ended ({@link BlockStatus#OK} as well if the disk has none)
     */
    public CompletableFuture<BlockStatus> drain() {
        List<CompletableFuture<Void>> idle = new ArrayList<>();
        CompletableFuture<Void> told;
        synchronized (streams) {
            state = State.DRAINING;
            told = control(new ControlMessage.Shutdown());
            for (RequestStream stream : streams) {
                CompletableFuture<Void> done = new CompletableFuture<>();
                idle.add(done);
                stream.eventLoop().execute(() -> stream.whenIdle(() -> done.complete(null)));
            }
        }
        return told.handle((ok, untold) -> null)
                .thenCompose(ok -> CompletableFuture.allOf(idle.toArray(CompletableFuture[]::new)))
                .thenCompose(ok -> flush());
    }

    private CompletableFuture<BlockStatus> flush() {
        if (!geometry.has(Feature.FLUSH) || geometry.has(Feature.READ_ONLY)) {
            return CompletableFuture.completedFuture(BlockStatus.OK);
        }
        CompletableFuture<BlockStatus> result = new CompletableFuture<>();
        home.execute(() -> {
            RequestStream.Sink sink = new RequestStream.Sink() {
                @Override
                public void answer(BlockResponse response) {
                    result.complete(response.status());
                }

                @Override
                public void flush() {
                    // nobody to show it to
                }
            };
            RequestStream own = new RequestStream(
                    new Session(0, this, "drain", "-"), home, loops.memory(home), sink, chain, admission);
            own.submit(own.newRequest().describe(BlockOp.FLUSH, 0, 0, 0));
        });
        return result;
    }

    /** Closes the stages, from the top down. After {@link #drain}; on a thread that may wait. Once; later calls do nothing. */
    public void close() {
        synchronized (streams) {
            if (state == State.CLOSED) {
                return;
            }
            state = State.CLOSED;
        }
        // No stage hears of a session after it was closed: who is connected still is told of now.
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(DISCONNECT_SECONDS);
        Session connected;
        while ((connected = takeConnected(until)) != null) {
            tellDisconnected(connected);
        }
        chain.links().forEach(this::closeStage);
    }

    /** Takes a session that is connected still, after those that others tell the stages of were told; null if there is none. */
    private @Nullable Session takeConnected(long until) {
        synchronized (streams) {
            try {
                long left;
                while (beingTold > 0 && (left = until - System.nanoTime()) > 0) {
                    TimeUnit.NANOSECONDS.timedWait(streams, left);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            if (beingTold > 0) {
                Logs.DISK.warn("[{}] a control hook does not return; its stage is closed all the same", logName());
            }
            for (Session session : sessions) {
                if (sessions.remove(session)) {
                    return session;
                }
            }
            return null;
        }
    }

    private void tellDisconnected(Session session) {
        try {
            control(new ControlMessage.Disconnect(session)).get(DISCONNECT_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException | RejectedExecutionException e) {
            Logs.DISK.warn(
                    "[{}] not all stages heard of the disconnection of {}: {}", logName(), session, e.toString());
        }
    }

    private void closeStage(Chain.Link link) {
        try {
            link.stage().close();
        } catch (Throwable e) {
            Logs.DISK.error("[{}] closing {} failed: {}", logName(), link.name(), e.getMessage(), e);
        }
    }

    @Override
    public String toString() {
        return label() + " (" + chain.describe() + ")";
    }
}
