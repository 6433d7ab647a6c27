package io.blocktap.pipeline.tap.xen;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.ChainPolicy;
import io.blocktap.pipeline.testkit.MemoryXenstored;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.TestPool;
import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.ring.InFlightTable;
import io.blocktap.transport.ring.RingSlot;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.xen.EventChannels;
import io.blocktap.transport.xen.GrantDevice;
import io.blocktap.transport.xen.ModelDevices;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.util.concurrent.Future;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.InstantSource;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A server starts and finds a guest that an earlier one has left connected: it takes the ring over without a word, or says in the log and in the device's error node why not. The tap,
 * its xenstore client, rings and tables are the real ones; xenstored and Xen's devices are models.
 */
@Timeout(60)
class XenTakeoverTest {
    private static final String BACK = "/local/domain/0/backend/tap/7/51712";
    private static final String FRONT = "/local/domain/7/device/vbd/51712";
    private static final InFlightTable.Owner OWNER = new InFlightTable.Owner(7, 51712, 0);
    private static final BlkifLayout LAYOUT = BlkifLayout.X86_64;
    private static final long NONCE = 0x7777_0001L;
    private static final int DISK_BYTES = 1 << 20;
    private static final int RING_PAGE = 8;
    private static final int OTHER_RING_PAGE = 9;

    @TempDir
    Path directory;

    private final Logger logger = (Logger) XenTap.LOG;
    private final ListAppender<ILoggingEvent> log = new ListAppender<>();
    private final List<String> written = new CopyOnWriteArrayList<>();
    private final ReferenceDisk storage =
            new ReferenceDisk(DISK_BYTES, 2L * DISK_BYTES, ReferenceDisk.Answering.AT_ONCE);
    private MemoryXenstored store;
    private Path state;
    private Optional<Path> stats = Optional.empty();
    private Fd memory;
    private MappedRegion guest;
    private TapLoops loops;
    private Disk disk;
    private @Nullable XenTap tap;

    @BeforeEach
    void makeMachine() throws Exception {
        logger.setLevel(Level.DEBUG);
        logger.setAdditive(false);
        log.start();
        logger.addAppender(log);
        store = new MemoryXenstored(directory.resolve("xenstored"));
        state = Files.createDirectory(
                directory.resolve("state"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        memory = Libc.memoryFile("guest", 16 * 4096);
        guest = MappedRegion.shared(memory, 16 * 4096);
        FrontRing.initialise(ring(RING_PAGE));
        FrontRing.initialise(ring(OTHER_RING_PAGE));
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(2, EpollIoHandler.newFactory()), 1 << 20);
        disk = new DiskOpener(loops, new TestPool(1), InstantSource.system())
                .open("", "reference", List.of(new DiskOpener.Unopened("reference", storage)));
        connectedDevice(7, 51712, RING_PAGE);
    }

    @AfterEach
    void endAll() throws Exception {
        XenTap open = tap;
        if (open != null) {
            open.stopTaking().get(10, TimeUnit.SECONDS);
            open.close().get(10, TimeUnit.SECONDS);
        }
        disk.drain().get(10, TimeUnit.SECONDS);
        disk.close();
        loops.close();
        store.close();
        guest.release();
        memory.close();
        logger.detachAppender(log);
        logger.setLevel(null);
        logger.setAdditive(true);
    }

    private ByteBuffer ring(int page) {
        return guest.slice(page * 4096, 4096).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** As a server has left it that served a guest. */
    private void connectedDevice(int domid, int device, int gref) {
        String back = "/local/domain/0/backend/tap/" + domid + "/" + device;
        String front = "/local/domain/" + domid + "/device/vbd/" + device;
        store.set(front + "/state", "4").set(front + "/protocol", "x86_64-abi");
        store.set(front + "/ring-ref", "" + gref).set(front + "/event-channel", "5");
        store.set(back + "/frontend", front).set(back + "/frontend-id", "" + domid);
        store.set(back + "/state", "4").set(back + "/online", "1");
        store.set(back + "/mode", "w").set(back + "/params", "");
        store.set(back + "/sectors", "" + DISK_BYTES / 512);
    }

    /** The guest waits for the answers of some flushes. */
    private void ask(int page, int count) {
        FrontRing front = new FrontRing(ring(page), LAYOUT, 1);
        for (int i = 0; i < count; i++) {
            int slot = front.put();
            front.memory().put(slot, (byte) Blkif.BLKIF_OP_FLUSH_DISKCACHE).put(slot + 1, (byte) 0);
            front.memory().putLong(slot + LAYOUT.id(), 100 + i);
        }
        front.publish();
    }

    private static int answers(ByteBuffer ring) {
        return ring.getInt(BlkifLayout.RSP_PROD);
    }

    /** A server has taken requests and was killed: leaves its table. */
    private void killedWith(int taken) throws Exception {
        int size = InFlightTable.sizeBytes(LAYOUT.slots(1));
        try (Fd file = Libc.openFile(table().toString(), Libc.O_RDWR | Libc.O_CREAT, 0600)) {
            Libc.truncate(file, size);
            MappedRegion mapped = MappedRegion.shared(file, size);
            BackRing back = new BackRing(
                    ring(RING_PAGE), LAYOUT, 1, InFlightTable.create(mapped.view(), OWNER, LAYOUT, 1, NONCE, 0));
            ring(RING_PAGE).putLong(BlkifLayout.NONCE, NONCE);
            for (int i = 0; i < taken; i++) {
                assertThat(back.next(new RingSlot(LAYOUT))).isTrue();
            }
            mapped.release();
        }
    }

    private Path table() {
        return state.resolve("tap-7-51712-0");
    }

    private void serve() throws Exception {
        store.onChange(path -> written.add(path + "=" + store.get(path)));
        XenSettings settings =
                new XenSettings("tap", 4, ChainPolicy.NOTHING, Optional.empty(), Optional.empty(), stats, state);
        tap = XenTap.open(settings, new DiskRegistry(List.of(disk)), loops, new XenMachine() {
            @Override
            public GrantDevice openGrants() {
                return ModelDevices.grants(memory);
            }

            @Override
            public Future<EventChannels> openEvents(EventLoop loop) {
                try {
                    return ModelDevices.events(loop);
                } catch (NativeException e) {
                    return loop.newFailedFuture(new TapException(e.getMessage(), e));
                }
            }

            @Override
            public XenStoreEndpoint findStore() {
                return XenStoreEndpoint.socket(directory.resolve("xenstored"));
            }
        });
    }

    private void awaitLog(Level level, String part) {
        Awaitility.await("log line with " + part).until(() -> logged(level, part));
    }

    private boolean logged(Level level, String part) {
        return List.copyOf(log.list).stream()
                .anyMatch(event ->
                        event.getLevel() == level && event.getFormattedMessage().contains(part));
    }

    private void awaitState(String wanted) {
        Awaitility.await("backend in state " + wanted).until(() -> wanted.equals(store.get(BACK + "/state")));
    }

    // ---- taken over

    @Test
    void ringOfAServerThatEndedCleanlyIsTakenOverWithoutAWord() throws Exception {
        ask(RING_PAGE, 2);

        serve();

        Awaitility.await().until(() -> answers(ring(RING_PAGE)) == 2);
        awaitLog(Level.INFO, "xen domain 7 device 51712: connected to disk ''");
        assertThat(written)
                .as("nodes that the guest or the toolstack could notice")
                .isEmpty();
        assertThat(log.list).noneMatch(event -> event.getLevel().isGreaterOrEqual(Level.WARN));
    }

    @Test
    void ringOfAServerThatWasKilledGoesOnWithWhatWasInFlight() throws Exception {
        ask(RING_PAGE, 3);
        killedWith(2);

        serve();

        Awaitility.await().until(() -> answers(ring(RING_PAGE)) == 3);
        awaitLog(Level.INFO, "taken over from a server that was killed, 2 requests in flight are done again");
        assertThat(storage.seen(BlockOp.FLUSH)).isEqualTo(3);
        assertThat(written).isEmpty();
    }

    @Test
    void diskThatHasAnotherSizeNowIsToldToTheGuest() throws Exception {
        store.set(BACK + "/sectors", "77");

        serve();

        Awaitility.await().until(() -> written.contains(BACK + "/state=4"));
        assertThat(store.get(BACK + "/sectors")).isEqualTo("" + DISK_BYTES / 512);
    }

    @Test
    void xentopFindsTheCountersOfARingThatWasTakenOver() throws Exception {
        stats = Optional.of(directory);
        store.set(BACK + "/kthread-pid", "1"); // of the server before
        long pid = ProcessHandle.current().pid();
        Path file = directory.resolve("td3-" + pid + "/vbd-7-51712");

        serve();

        Awaitility.await().until(() -> Files.exists(file) && Files.size(file) == 96);
        assertThat(written).containsOnly(BACK + "/kthread-pid=" + pid);
        store.remove(FRONT);
        awaitState("6");
        Awaitility.await("the file goes with the rings").until(() -> !Files.exists(file));
    }

    @Test
    void sizeThatWasNotToldWhileXenstoredWasAwayIsToldWhenItIsBack() throws Exception {
        serve();
        awaitLog(Level.INFO, "xen domain 7 device 51712: connected to disk ''");
        store.close();
        awaitLog(Level.WARN, "rings are served on");

        storage.resize(2 * DISK_BYTES).get(10, TimeUnit.SECONDS);
        awaitLog(Level.ERROR, "not connected at this moment");
        store = new MemoryXenstored(directory.resolve("restarted"));
        connectedDevice(7, 51712, RING_PAGE);
        Files.move(directory.resolve("restarted"), directory.resolve("xenstored"), StandardCopyOption.REPLACE_EXISTING);

        Awaitility.await().until(() -> ("" + 2 * DISK_BYTES / 512).equals(store.get(BACK + "/sectors")));
    }

    // ---- the guest has gone on

    @Test
    void guestThatClosesMeanwhileIsAnsweredAndLetGo() throws Exception {
        store.set(FRONT + "/state", "5");

        serve();

        awaitState("5");
        store.set(FRONT + "/state", "6");
        awaitState("6");
        assertThat(log.list).noneMatch(event -> event.getLevel().isGreaterOrEqual(Level.WARN));
    }

    @ParameterizedTest
    @ValueSource(strings = {"6", "", "none"})
    void guestThatIsClosedOrGoneLeavesAClosedBackend(String frontendState) throws Exception {
        killedWith(0);
        if (frontendState.equals("none")) {
            store.remove("/local/domain/7");
        } else {
            store.set(FRONT + "/state", frontendState);
        }

        serve();

        awaitState("6");
        store.remove("/local/domain/0/backend/tap/7");
        awaitLog(Level.DEBUG, "xen domain 7 device 51712: FORGET");
    }

    @Test
    void tableOfADeviceThatIsGoneIsRemoved() throws Exception {
        killedWith(0);
        Files.move(table(), state.resolve("tap-9-51728-0"));

        serve();

        Awaitility.await().until(() -> !Files.exists(state.resolve("tap-9-51728-0")));
    }

    @Test
    void guestThatBeganAnewMeanwhileGetsANewOffer() throws Exception {
        killedWith(0);
        store.set(FRONT + "/state", "1");

        serve();

        awaitState("2");
    }

    // ---- not to be taken over

    private void assertGuestWaits(String reason) throws Exception {
        serve();

        awaitLog(Level.ERROR, reason);
        Awaitility.await()
                .until(() -> store.get(BACK + "/error") != null
                        && store.get(BACK + "/error").contains(reason));
        assertThat(store.get(BACK + "/state"))
                .as("the guest waits, its disk is not failed")
                .isEqualTo("4");
        assertThat(answers(ring(RING_PAGE))).isZero();
    }

    @Test
    void tableOfAnotherRingIsNotBelievedAndTheGuestWaits() throws Exception {
        ask(RING_PAGE, 2);
        killedWith(2);
        ring(RING_PAGE).putLong(BlkifLayout.NONCE, NONCE + 2);

        assertGuestWaits("its nonce is 0x" + Long.toHexString(NONCE));
    }

    @Test
    void guestThatWaitedIsServedWhenItBeginsAnew() throws Exception {
        ask(RING_PAGE, 2);
        killedWith(2);
        Files.delete(table());
        assertGuestWaits("it has no table in " + table());

        store.set(FRONT + "/state", "1"); // its kernel crashed and starts again, with a ring of its own
        awaitState("2");
        ring(RING_PAGE).put(0, new byte[4096]);
        FrontRing.initialise(ring(RING_PAGE));
        ask(RING_PAGE, 1);
        store.set(FRONT + "/state", "3");

        awaitState("4");
        Awaitility.await().until(() -> answers(ring(RING_PAGE)) == 1);
        assertThat(store.get(BACK + "/error")).isNull();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 4095, 4096, 100_000})
    void tableOfAnotherLengthIsRefused(int length) throws Exception {
        ask(RING_PAGE, 1);
        killedWith(1);
        Files.write(table(), new byte[length]);

        String reason = length == 0 ? "it has no table in " + table() : table() + " has " + length + " bytes, not ";
        assertGuestWaits("what it had in flight is not known: " + reason);
    }

    @Test
    void tableThatContradictsItselfIsRefused() throws Exception {
        ask(RING_PAGE, 1);
        killedWith(1);
        byte[] torn = Files.readAllBytes(table());
        torn[64] = 9; // taken
        Files.write(table(), torn);

        assertGuestWaits("contradicts itself");
    }

    @Test
    void ringWhoseIndexRanAwayIsRefusedAndOtherDevicesAreServed() throws Exception {
        connectedDevice(8, 51712, OTHER_RING_PAGE);
        ask(OTHER_RING_PAGE, 1);
        ring(RING_PAGE).putInt(BlkifLayout.REQ_PROD, 1000);

        assertGuestWaits("req_prod 1000 is 1000 past rsp_prod 0; the ring has 32 slots");
        Awaitility.await().until(() -> answers(ring(OTHER_RING_PAGE)) == 1);
    }

    @Test
    void ringForWhichThereIsNoMemoryIsRefusedAndTriedAgain() throws Exception {
        store.set(FRONT + "/ring-ref", "" + ModelDevices.NO_MEMORY);
        assertGuestWaits("no memory for page " + ModelDevices.NO_MEMORY);
        ask(RING_PAGE, 1);

        store.set(FRONT + "/ring-ref", "" + RING_PAGE);

        Awaitility.await("the next try, within a second").until(() -> answers(ring(RING_PAGE)) == 1);
    }

    @Test
    void ringThatIsNotPublishedAnyMoreIsRefused() throws Exception {
        store.remove(FRONT + "/ring-ref");

        assertGuestWaits("ring-ref is missing");
    }

    @Test
    void ringThatItsOldServerStillHasIsTakenOverWhenThatHasEnded() throws Exception {
        ask(RING_PAGE, 1);
        killedWith(1);
        try (Fd old = Libc.openFile(table().toString(), Libc.O_RDWR, 0)) {
            assertThat(Libc.lockExclusive(old)).isZero();
            assertGuestWaits("is served by another process, which has locked " + table());
        }

        Awaitility.await("the next try, within a second").until(() -> answers(ring(RING_PAGE)) == 1);
        Awaitility.await().until(() -> store.get(BACK + "/error") == null);
    }

    @Test
    void deviceThatIsMadeAnewAndStillWrongIsRefusedAnew() throws Exception {
        serve();
        awaitLog(Level.INFO, "xen domain 7 device 51712: connected to disk ''");
        store.set(BACK + "/online", "0").set(FRONT + "/state", "6");
        awaitState("6");
        store.set(BACK + "/params", "vm9").set(BACK + "/online", "1").set(BACK + "/state", "1");
        awaitLog(Level.ERROR, "no disk 'vm9' is served");
        awaitState("6");

        store.remove(BACK + "/error");
        store.set(BACK + "/state", "1");

        awaitState("6");
        assertThat(store.get(BACK + "/error")).contains("no disk 'vm9' is served");
        assertThat(log.list.stream().filter(event -> event.getLevel() == Level.ERROR))
                .as("people were told once")
                .hasSize(1);
    }

    @Test
    void diskThatIsNotServedLeavesTheGuestWaitingUntilItIs() throws Exception {
        store.set(BACK + "/params", "vm9");
        assertGuestWaits("no disk 'vm9' is served");
        ask(RING_PAGE, 1);

        store.set(BACK + "/params", "");

        Awaitility.await().until(() -> answers(ring(RING_PAGE)) == 1);
        Awaitility.await("the old error is taken back").until(() -> store.get(BACK + "/error") == null);
    }
}
