package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.transport.ring.Blkif;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/**
 * What xentop shows of disks of kind {@code vbd3}: a file for each, as tapdisk writes it. xentop finds it by the process in the node {@code kthread-pid}: {@code
 * /dev/shm/td3-PID/vbd-DOMID-DEVICE} (Xen 4.19, {@code tools/libs/stat/xenstat_linux.c}), and reads a {@code struct vbd3_stats}.
 *
 * <pre>
 *  0  u32 version, 1 | u32 padding        40  u64 ticks of reads
 *  8  u64 requests without memory         48  u64 writes taken     56 u64 answered     64 u64 sectors
 * 16  u64 reads taken   24 u64 answered   72  u64 ticks of writes
 * 32  u64 sectors                         80  u64 errors           88 u64 flags
 * </pre>
 *
 * <p>Written once a second by a thread of its own: requests cost nothing for it. Requests are counted when they are answered, and their time is not, so ticks are 0. A
 * reader may see a file half written; xentop shows the difference of two looks, a second or more apart.
 */
final class TapdiskStats implements AutoCloseable {
    /** Where the toolstack is told whose files they are. */
    static final String PID_NODE = "kthread-pid";

    static final int SIZE_BYTES = 96;
    static final int VERSION = 0;
    static final int READS_TAKEN = 16;
    static final int READS_ANSWERED = 24;
    static final int READ_SECTORS = 32;
    static final int WRITES_TAKEN = 48;
    static final int WRITES_ANSWERED = 56;
    static final int WRITTEN_SECTORS = 64;
    static final int ERRORS = 80;

    private static final int OUR_VERSION = 1;
    private static final int OTHERS_MAY_WRITE = 022;
    private static final int MODE_TYPE = 0170000;
    private static final int DIRECTORY = 0040000;
    private static final long PERIOD_MILLIS = 1000;
    private static final long ANSWER_MILLIS = 500;

    private final Path folder;
    private final Supplier<CompletableFuture<List<DeviceStatus>>> devices;
    private final ScheduledExecutorService thread;
    private final Map<String, SeekableByteChannel> files = new HashMap<>();
    private final ByteBuffer stats = ByteBuffer.allocateDirect(SIZE_BYTES).order(ByteOrder.nativeOrder());
    private boolean isComplained;
    private volatile boolean isClosing;

    /**
     * Begins to write.
     *
     * @param parent {@code /dev/shm}, where xentop looks
     * @param devices asked for what is connected; may be called on any thread
     */
    TapdiskStats(Path parent, Supplier<CompletableFuture<List<DeviceStatus>>> devices) {
        this.folder = parent.resolve("td3-" + pid());
        this.devices = devices;
        this.thread = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread made = new Thread(task, "blocktap-xen-stats");
            made.setDaemon(true);
            return made;
        });
        thread.scheduleWithFixedDelay(this::look, 0, PERIOD_MILLIS, TimeUnit.MILLISECONDS);
    }

    /** Returns what is to be told in {@link #PID_NODE}. */
    static long pid() {
        return ProcessHandle.current().pid();
    }

    private void look() {
        try {
            List<DeviceStatus> now = devices.get().get(ANSWER_MILLIS, TimeUnit.MILLISECONDS);
            Set<String> gone = new HashSet<>(files.keySet());
            for (DeviceStatus device : now) {
                String name = "vbd-" + device.domid() + "-" + device.device();
                gone.remove(name);
                write(name, device);
            }
            for (String name : gone) {
                remove(name);
            }
            isComplained = false;
        } catch (TimeoutException | ExecutionException e) {
            XenTap.LOG.debug("no statistics: {}", e.toString()); // the loop is busy: in a second again
        } catch (IOException e) {
            complain(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            XenTap.LOG.warn("statistics in {}", folder, e); // an escaped one would end the schedule
        }
    }

    private void write(String name, DeviceStatus device) throws IOException {
        SeekableByteChannel file = files.get(name);
        if (file == null) {
            makeFolder();
            Files.deleteIfExists(folder.resolve(name)); // of a process with our number
            file = Files.newByteChannel(
                    folder.resolve(name),
                    Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                    PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-r--r--")));
            files.put(name, file);
        }
        fill(
                stats.clear(),
                device.requests(BlockOp.READ),
                device.bytes(BlockOp.READ),
                device.requests(BlockOp.WRITE),
                device.bytes(BlockOp.WRITE),
                device.errors());
        file.position(0).write(stats);
    }

    static void fill(ByteBuffer target, long reads, long readBytes, long writes, long writtenBytes, long errors) {
        target.putInt(VERSION, OUR_VERSION)
                .putLong(READS_TAKEN, reads)
                .putLong(READS_ANSWERED, reads)
                .putLong(READ_SECTORS, readBytes >> Blkif.SECTOR_SHIFT)
                .putLong(WRITES_TAKEN, writes)
                .putLong(WRITES_ANSWERED, writes)
                .putLong(WRITTEN_SECTORS, writtenBytes >> Blkif.SECTOR_SHIFT)
                .putLong(ERRORS, errors);
    }

    /** Everybody may write into /dev/shm, so what is there already must be ours. */
    private void makeFolder() throws IOException {
        try {
            Files.createDirectory(
                    folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        } catch (FileAlreadyExistsException e) {
            // One look: who may write the parent could put another thing there between two.
            Map<String, Object> found = Files.readAttributes(folder, "unix:mode,uid", LinkOption.NOFOLLOW_LINKS);
            int mode = (Integer) Objects.requireNonNull(found.get("mode"));
            if ((mode & MODE_TYPE) != DIRECTORY
                    || !Objects.equals(found.get("uid"), Files.getAttribute(Path.of("/proc/self"), "unix:uid"))
                    || (mode & OTHERS_MAY_WRITE) != 0) {
                throw new IOException(folder + " is there and not a directory that only we can write; remove it", e);
            }
        }
    }

    private void remove(String name) throws IOException {
        SeekableByteChannel file = files.remove(name);
        if (file != null) {
            file.close();
        }
        Files.deleteIfExists(folder.resolve(name));
    }

    private void complain(IOException e) {
        if (!isComplained && !isClosing) { // the end interrupts what is being written
            isComplained = true;
            XenTap.LOG.warn("xentop will know no counters: {} (xen:stats=off: none are written)", e.toString());
        }
    }

    /** Ends, and removes the files. */
    @Override
    public void close() {
        isClosing = true;
        thread.shutdownNow();
        try {
            thread.awaitTermination(2 * ANSWER_MILLIS, TimeUnit.MILLISECONDS);
            for (String name : Set.copyOf(files.keySet())) {
                remove(name);
            }
            Files.deleteIfExists(folder);
        } catch (IOException e) {
            XenTap.LOG.debug("statistics are left: {}", e.toString());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
