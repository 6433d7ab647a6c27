package io.blocktap.launcher;

import io.blocktap.launcher.server.BlocktapServer;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;

/** Waits for what ends a server: a signal or its captive command. A second signal ends the process at once. */
final class ServerLife {
    private final PrintWriter err;
    private final CountDownLatch over = new CountDownLatch(1);
    private volatile @Nullable String signal;
    private volatile @Nullable BlocktapServer server;
    private volatile @Nullable Captive captive;

    ServerLife(PrintWriter err) {
        this.err = err;
    }

    /** Notes the server whose requests a hard end would lose. */
    void started(BlocktapServer newServer) {
        server = newServer;
    }

    /** Waits for a signal. One that came during the start counts. */
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
        if (signal != null) {
            command.end();
        }
        return command.exitCode();
    }

    /** Takes a signal, on a thread of the JVM. */
    synchronized void signal(String name) {
        if (signal == null) {
            signal = name;
            over.countDown();
            return;
        }
        Captive running = captive;
        if (running != null) {
            running.kill();
        }
        BlocktapServer stopping = server;
        List<String> lost = stopping == null ? List.of() : stopping.inFlight();
        err.println("blocktap: a second " + name + " ends it hard; "
                + (lost.isEmpty() ? "no requests in flight, the last flush may be missing" : String.join(", ", lost)));
        err.flush();
        Runtime.getRuntime().halt(Main.FAILED);
    }
}
