package io.blocktap.launcher;

import io.blocktap.launcher.server.BlocktapServer;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Waits for what ends a server: a signal or its captive command. A signal during the start, which may hang in a file or a name server, ends the
 * process at once; so does a second signal, half a second or more after the first.
 */
final class ServerLife {
    /** How long the last words of a hard end may take; nobody may be reading the standard error. */
    private static final long LAST_WORDS_MILLIS = 1000;

    /** A signal so soon after the first is the same wish: {@code timeout} and others send one to the process and one to its group. */
    private static final long ECHO_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private enum State {
        STARTING,
        SERVING,
        ENDING
    }

    private final Logger log = LoggerFactory.getLogger(ServerLife.class);
    private final PrintWriter err;
    private final CountDownLatch over = new CountDownLatch(1);
    private State state = State.STARTING;
    private volatile long endingSince;
    private volatile boolean signalled;
    private volatile @Nullable BlocktapServer server;
    private volatile @Nullable Captive captive;

    ServerLife(PrintWriter err) {
        this.err = err;
    }

    /** Notes that the server is open: from now on a signal drains it. */
    synchronized void started(BlocktapServer newServer) {
        server = newServer;
        state = State.SERVING;
    }

    /** Waits for a signal. */
    void untilSignal() throws FailedException {
        try {
            over.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new FailedException("interrupted", e);
        }
    }

    /**
     * Waits for the end of the command; a signal ends it.
     *
     * @return its exit code
     */
    int untilCommandEnds(Captive command) throws FailedException {
        captive = command;
        command.onExit(over::countDown);
        untilSignal();
        if (signalled) {
            command.end();
        }
        return command.exitCode();
    }

    /** Takes a signal, on a thread of the JVM. */
    void signal(String name) {
        switch (next()) {
            case STARTING -> endHard(() -> "blocktap: " + name + " during the start: nothing was served");
            case SERVING -> {
                log.info("{}: no new requests from now on; a second signal ends it hard", name);
                signalled = true;
                over.countDown();
            }
            case ENDING -> {
                if (System.nanoTime() - endingSince > ECHO_NANOS) {
                    endHard(() -> "blocktap: a second " + name + " ends it hard; " + lost());
                }
            }
        }
    }

    /** Moves on to the end, and returns where it was. */
    private synchronized State next() {
        State before = state;
        if (before == State.SERVING) {
            endingSince = System.nanoTime();
        }
        state = State.ENDING;
        return before;
    }

    private String lost() {
        BlocktapServer stopping = server;
        List<String> lost = stopping == null ? List.of() : stopping.inFlight();
        return lost.isEmpty() ? "no requests in flight, the last flush may be missing" : String.join(", ", lost);
    }

    /** Halts, with last words if somebody takes them. Nothing here waits for longer than they may take. */
    private void endHard(java.util.function.Supplier<String> words) {
        try {
            Captive running = captive;
            if (running != null) {
                running.kill();
            }
            Thread speaker = new Thread(
                    () -> {
                        err.println(words.get());
                        err.flush();
                    },
                    "blocktap-last-words");
            speaker.setDaemon(true);
            speaker.start();
            speaker.join(LAST_WORDS_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            Runtime.getRuntime().halt(Main.FAILED);
        }
    }
}
