package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.config.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/**
 * A small file in which a server tells, for {@code blocktap xen list}, what xenstore does not: counters and what is in flight. Written at most once a second and only if
 * something has changed, as a new file that takes the old one's place, so that no reader sees half of one. It tells its process, so that a reader can see whether
 * the server still lives.
 *
 * <p>Threads: one of its own, since a file system may wait.
 */
final class StatusFile implements AutoCloseable {
    /** Of so many devices it tells; more are left out. */
    static final int MOST_DEVICES = 1000;

    private static final long PERIOD_MILLIS = 1000;
    private static final long ANSWER_MILLIS = 500;

    private final Path file;
    private final String head;
    private final Supplier<CompletableFuture<List<DeviceStatus>>> devices;
    private final ScheduledExecutorService thread;
    private String written = "";
    private boolean isComplained;

    /**
     * Begins to write.
     *
     * @param folder made if it is not there
     * @param kind of backends: one server each
     * @param devices asked for what is connected; may be called on any thread
     */
    StatusFile(Path folder, String kind, Supplier<CompletableFuture<List<DeviceStatus>>> devices) {
        this.file = folder.resolve("xen-" + kind + ".json");
        this.devices = devices;
        ProcessHandle self = ProcessHandle.current();
        this.head = "{\"version\": 1, \"kind\": \"" + kind + "\", \"pid\": " + self.pid() + ", \"startedMillis\": "
                + self.info().startInstant().map(Instant::toEpochMilli).orElse(0L);
        this.thread = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread made = new Thread(task, "blocktap-xen-status");
            made.setDaemon(true);
            return made;
        });
        thread.scheduleWithFixedDelay(this::look, 0, PERIOD_MILLIS, TimeUnit.MILLISECONDS);
    }

    private void look() {
        try {
            List<DeviceStatus> now = devices.get().get(ANSWER_MILLIS, TimeUnit.MILLISECONDS);
            String text = Json.line(
                    now.stream().limit(MOST_DEVICES).map(DeviceStatus::toMap).toList());
            if (!text.equals(written)) {
                write(head + ", \"writtenMillis\": " + System.currentTimeMillis() + ", \"devices\": " + text + "}\n");
                written = text;
                isComplained = false;
            }
        } catch (TimeoutException | ExecutionException e) {
            XenTap.LOG.debug("no status: {}", e.toString()); // the loop is busy: in a second again
        } catch (IOException e) {
            complain(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            XenTap.LOG.warn("status file {}", file, e); // an escaped one would end the schedule
        }
    }

    private void write(String text) throws IOException {
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) {
            Files.createDirectories(folder);
        }
        Path fresh = file.resolveSibling(file.getFileName() + ".new");
        Files.deleteIfExists(fresh); // of a killed server, or of somebody who would have us write elsewhere by a link
        Files.writeString(fresh, text, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private void complain(IOException e) {
        if (!isComplained) {
            isComplained = true;
            XenTap.LOG.warn(
                    "status file {} can not be written: {}; 'blocktap xen list' will know no counters (xen:status=FOLDER chooses"
                            + " another place, status=off none)",
                    file,
                    e.toString());
        }
    }

    /** Ends, and removes the file. */
    @Override
    public void close() {
        thread.shutdownNow();
        try {
            thread.awaitTermination(ANSWER_MILLIS, TimeUnit.MILLISECONDS);
            Files.deleteIfExists(file);
        } catch (IOException e) {
            XenTap.LOG.debug("status file {} is left: {}", file, e.toString());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
