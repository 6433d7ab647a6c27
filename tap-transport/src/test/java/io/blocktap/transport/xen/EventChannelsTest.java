package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.sun.management.ThreadMXBean;
import io.blocktap.transport.LogCapture;
import io.blocktap.transport.LoopKind;
import io.blocktap.transport.OpenFds;
import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Libc;
import io.netty.channel.DefaultEventLoop;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.uring.IoUring;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The turn of the event channels, over a model of the driver. The same on a real Xen: {@code XenDevicesLab} in it-tests.
 *
 * <p>Here, "guest" is the other end of each port: a device of the same model that nobody watches.
 */
@ParameterizedClass
@EnumSource
@Timeout(60)
class EventChannelsTest {
    private static final int DOMID = 5;

    private final LoopKind kind;
    private final SimulatedEvtchn.Hypervisor hypervisor = new SimulatedEvtchn.Hypervisor(1);
    private final List<Integer> heard = new CopyOnWriteArrayList<>();
    private Map<String, Integer> fdsBefore;
    private int regionsBefore;
    private EventLoopGroup group;
    private EventLoop loop;
    private SimulatedEvtchn guest;
    private SimulatedEvtchn device;
    private EventChannels channels;

    EventChannelsTest(LoopKind kind) {
        this.kind = kind;
    }

    /** Netty opens a socket for itself with the first loop of a kind, and keeps it. */
    @BeforeAll
    static void openWhatNettyKeeps() {
        LoopKind.end(LoopKind.EPOLL.newGroup(1));
        if (IoUring.isAvailable()) {
            LoopKind.end(LoopKind.IO_URING.newGroup(1));
        }
    }

    @BeforeEach
    void start() {
        fdsBefore = OpenFds.count();
        regionsBefore = MappedRegion.liveRegions();
        group = kind.newGroup(1);
        loop = group.next();
        guest = new SimulatedEvtchn(hypervisor, 4096);
        open(4096);
    }

    private void open(int queueLength) {
        device = new SimulatedEvtchn(hypervisor, queueLength);
        channels = EventChannels.open(loop, device).syncUninterruptibly().getNow();
    }

    @AfterEach
    void leavesNothingBehind() {
        if (channels != null) {
            channels.close().syncUninterruptibly();
        }
        guest.close();
        LoopKind.end(group);
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore);
        await().untilAsserted(() -> assertThat(OpenFds.count()).isEqualTo(fdsBefore));
    }

    private <T> T onLoop(Callable<T> callable) {
        return loop.submit(callable).syncUninterruptibly().getNow();
    }

    private void onLoop(Runnable runnable) {
        loop.submit(runnable).syncUninterruptibly();
    }

    /** Binds to a port of the guest, and waits for the first ring. Returns the guest's port. */
    private int bind(EventChannels.Listener listener) {
        int remote = guest.bindUnbound(0);
        int before = heard.size();
        onLoop(() -> channels.bindInterdomain(DOMID, remote, port -> {
            heard.add(port);
            listener.rang(port);
        }));
        soon().until(() -> heard.size() > before);
        settle();
        return remote;
    }

    private static ConditionFactory soon() {
        return await().pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(1));
    }

    /** Waits until the loop has done what it was rung for. */
    private void settle() {
        for (int i = 0; i < 3; i++) {
            onLoop(() -> {});
        }
    }

    private void awaitHeard(int count) {
        soon().until(() -> heard.size() >= count);
        settle();
        assertThat(heard).hasSize(count);
    }

    private void restartRecord() {
        heard.clear();
        device.writes.clear();
        device.reads = 0;
    }

    // ---- ringing

    @Test
    void hearsOneRingRightAfterBindingToGuest() {
        bind(port -> {});

        assertThat(heard).hasSize(1);
        assertThat(device.writes).containsExactly(List.of(heard.get(0)));
    }

    @Test
    void hearsNothingOfOfferedPortUntilPeerRings() {
        int port = onLoop(() -> channels.bindUnbound(DOMID, heard::add));
        int guestPort = guest.bindInterdomain(0, port);
        settle();
        assertThat(heard).isEmpty();

        guest.notifyPort(guestPort);

        awaitHeard(1);
    }

    @Test
    void unmasksAllPortsOfTurnInOneWriteAfterAllListeners() {
        List<Integer> remotes = new ArrayList<>();
        List<Integer> writesSeen = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            remotes.add(bind(port -> writesSeen.add(device.writes.size())));
        }
        onLoop(() -> {
            restartRecord();
            writesSeen.clear();
            remotes.forEach(guest::notifyPort);
        });

        awaitHeard(300);
        assertThat(writesSeen).hasSize(300).containsOnly(0);
        assertThat(device.writes).hasSize(1);
        assertThat(device.writes.get(0)).hasSize(300).doesNotHaveDuplicates();
        assertThat(device.reads)
                .as("reads: the ports, and on a loop that does not look again by itself that there are no more")
                .isEqualTo(kind == LoopKind.EPOLL ? 1 : 2);
    }

    @Test
    void takesMorePortsThanOneReadGives() {
        List<Integer> remotes = new ArrayList<>();
        for (int i = 0; i < 2500; i++) {
            remotes.add(guest.bindUnbound(0));
        }
        onLoop(() -> {
            for (int remote : remotes) {
                channels.bindInterdomain(DOMID, remote, heard::add);
            }
            return null;
        });

        awaitHeard(2500);

        assertThat(heard).doesNotHaveDuplicates();
        assertThat(device.writes).extracting(List::size).containsExactly(1024, 1024, 452);
        onLoop(() -> assertThat(channels.boundPorts()).isEqualTo(2500));
    }

    @Test
    void latchesRingThatComesWhileListenerRuns() {
        int[] left = {10};
        int[] guestPort = new int[1];
        guestPort[0] = bind(port -> {
            if (heard.size() > 1 && left[0]-- > 0) {
                guest.notifyPort(guestPort[0]);
            }
        });

        guest.notifyPort(guestPort[0]);

        awaitHeard(12);
    }

    @Test
    void ringsGuest() {
        int remote = bind(port -> {});

        assertThat(onLoop(() -> channels.notify(heard.get(0)))).isZero();

        ByteBuffer ports = ByteBuffer.allocateDirect(64).order(ByteOrder.nativeOrder());
        assertThat(guest.read(Libc.addressOf(ports), 64)).isEqualTo(4);
        assertThat(ports.getInt(0)).isEqualTo(remote);
    }

    @Test
    void notifyOfForeignPortIsAnError() {
        int remote = bind(port -> {});

        assertThat(onLoop(() -> channels.notify(remote))).isEqualTo(-Errno.ENOTCONN);
    }

    @Test
    void refusesPortThatIsBoundAlready() {
        int remote = bind(port -> {});

        assertThatThrownBy(() -> onLoop(() -> channels.bindInterdomain(DOMID, remote, heard::add)))
                .isInstanceOf(TapException.class)
                .hasMessage(
                        "event channel " + remote + " of domain 5 can not be bound: EINVAL (invalid argument); it is "
                                + "not offered to this domain, or is bound already");
    }

    // ---- faults of listeners

    @Test
    void goesOnWithOtherPortsWhenListenerThrows() {
        List<Integer> remotes = new ArrayList<>();
        try (LogCapture log = new LogCapture()) {
            remotes.add(bind(port -> {
                throw new AssertionError("listener's own");
            }));
            remotes.add(bind(port -> {}));
            onLoop(() -> {
                restartRecord();
                remotes.forEach(guest::notifyPort);
            });

            awaitHeard(2);
            assertThat(device.writes).hasSize(1);
            assertThat(device.writes.get(0)).hasSize(2);
            assertThat(log.lines())
                    .hasSize(2)
                    .allMatch(
                            line -> line.matches("ERROR listener of event channel \\d+ failed <- .*: listener's own"));
        }
    }

    // ---- closing ports

    @Test
    void portThatWasClosedInItsTurnIsNeitherHeardNorUnmasked() {
        List<Integer> remotes = new ArrayList<>();
        boolean[] armed = new boolean[1];
        int[] second = new int[1];
        remotes.add(bind(port -> {
            if (armed[0]) {
                channels.close(port);
                channels.close(second[0]);
            }
        }));
        remotes.add(bind(port -> second[0] = port));
        onLoop(() -> {
            restartRecord();
            armed[0] = true;
            remotes.forEach(guest::notifyPort);
        });

        awaitHeard(1);
        assertThat(device.writes).isEmpty();
        onLoop(() -> assertThat(channels.boundPorts()).isZero());
    }

    @Test
    void closedPortCanBeBoundAgain() {
        int remote = bind(port -> {});
        int first = heard.get(0);
        onLoop(() -> channels.close(first));
        assertThat(guest.notifyPort(remote)).isZero();
        settle();
        heard.clear();

        onLoop(() -> channels.bindInterdomain(DOMID, remote, heard::add));

        awaitHeard(1);
        guest.notifyPort(remote);
        awaitHeard(2);
    }

    @Test
    void listenerMayBindMorePortsThanThereWasRoomFor() {
        List<Integer> remotes = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            remotes.add(guest.bindUnbound(0));
        }
        boolean[] done = new boolean[1];
        int trigger = bind(port -> {
            if (!done[0] && heard.size() > 1) {
                done[0] = true;
                for (int remote : remotes) {
                    try {
                        channels.bindInterdomain(DOMID, remote, heard::add);
                    } catch (TapException e) {
                        throw new AssertionError(e);
                    }
                }
            }
        });

        guest.notifyPort(trigger);

        awaitHeard(2 + 2000);
        guest.notifyPort(trigger);
        awaitHeard(2 + 2000 + 1);
    }

    // ---- throttling

    @Test
    void portThatIsKeptMaskedRingsAgainOnlyWhenUnmasked() {
        int remote = bind(port -> channels.keepMasked(port));
        int port = heard.get(0);
        assertThat(device.writes).isEmpty();
        for (int i = 0; i < 5; i++) {
            guest.notifyPort(remote);
        }
        settle();
        assertThat(heard).hasSize(1);

        onLoop(() -> channels.unmask(port));

        awaitHeard(2);
        assertThat(device.writes).containsExactly(List.of(port));
        onLoop(() -> channels.unmask(port));
        settle();
        assertThat(heard).as("nothing rang meanwhile").hasSize(2);
    }

    @Test
    void listenerMayChangeItsMindAboutMasking() {
        int remote = bind(port -> {
            channels.keepMasked(port);
            channels.unmask(port);
        });
        assertThat(device.writes).containsExactly(List.of(heard.get(0)));

        guest.notifyPort(remote);

        awaitHeard(2);
    }

    @Test
    void onlyPortThatRangCanBeKeptMasked() {
        bind(port -> {});
        int port = heard.get(0);

        assertThatThrownBy(() -> onLoop(() -> channels.keepMasked(port)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageStartingWith("event channel " + port + " is not being handled");
        onLoop(() -> channels.unmask(port));
        assertThat(device.writes).hasSize(1);
    }

    // ---- overflow

    @Test
    void takesEveryPortAsRungAfterOverflowAndSaysSoOnce() {
        channels.close().syncUninterruptibly();
        open(8);
        List<Integer> remotes = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            remotes.add(bind(port -> {}));
        }
        try (LogCapture log = new LogCapture()) {
            for (int round = 1; round <= 3; round++) {
                onLoop(() -> {
                    restartRecord();
                    remotes.forEach(guest::notifyPort);
                });

                awaitHeard(20);
                assertThat(device.writes).hasSize(1);
                assertThat(device.writes.get(0)).hasSize(20);
            }
            assertThat(log.lines())
                    .containsExactly(
                            "ERROR the kernel's queue of event channels overflowed; looking at all 20 of them");
        }
    }

    @Test
    void overflowDoesNotUnmaskPortThatIsKeptMasked() {
        channels.close().syncUninterruptibly();
        open(2);
        int held = bind(port -> channels.keepMasked(port));
        int port = heard.get(0);
        List<Integer> others = List.of(bind(any -> {}), bind(any -> {}), bind(any -> {}));
        onLoop(() -> {
            restartRecord();
            others.forEach(guest::notifyPort);
            guest.notifyPort(held);
        });

        awaitHeard(3);
        assertThat(heard).doesNotContain(port);

        onLoop(() -> channels.unmask(port));
        awaitHeard(4);
    }

    @Test
    void readThatFailsIsToldOnceAndTriedByTheTimer() {
        int remote = bind(port -> {});
        try (LogCapture log = new LogCapture()) {
            onLoop(() -> {
                restartRecord();
                device.failNextRead();
                guest.notifyPort(remote);
            });

            awaitHeard(1);
            assertThat(device.reads)
                    .as("no loop that spins on what can not be read")
                    .isLessThan(6);
            assertThat(log.lines()).hasSize(1).first().asString().startsWith("ERROR event channels: read failed:");
        }
    }

    // ---- a wake-up that the driver forgot

    @Test
    void looksByItselfNowAndThen() {
        int remote = bind(port -> {});
        heard.clear();

        // The driver's race: the queue is not empty, and its reader was not rung.
        device.forgetNextWakeUp();
        guest.notifyPort(remote);

        awaitHeard(1);
    }

    // ---- the end

    @Test
    void closeEndsAllAndMayComeTwice() {
        int remote = bind(port -> {});
        int port = heard.get(0);

        channels.close().syncUninterruptibly();
        channels.close().syncUninterruptibly();

        guest.notifyPort(remote);
        settle();
        assertThat(heard).hasSize(1);
        assertThat(onLoop(() -> channels.notify(port))).isEqualTo(-Errno.ENOTCONN);
        onLoop(() -> {
            channels.close(port);
            channels.unmask(port);
            assertThat(channels.boundPorts()).isZero();
        });
        assertThatThrownBy(() -> onLoop(() -> channels.bindUnbound(DOMID, heard::add)))
                .isInstanceOf(TapException.class)
                .hasMessage("the event channels of this loop are closed");
    }

    @Test
    void listenerMayCloseAll() {
        List<Integer> remotes = new ArrayList<>();
        boolean[] armed = new boolean[1];
        for (int i = 0; i < 3; i++) {
            remotes.add(bind(port -> {
                if (armed[0]) {
                    channels.close();
                }
            }));
        }
        onLoop(() -> {
            restartRecord();
            armed[0] = true;
            remotes.forEach(guest::notifyPort);
        });

        awaitHeard(1);
        assertThat(device.writes).isEmpty();
        assertThat(device.fd().isOpen()).isFalse();
    }

    @Test
    void closesWithItsLoop() {
        bind(port -> {});

        LoopKind.end(group);

        assertThat(device.fd().isOpen()).isFalse();
        assertThat(channels.close().isSuccess()).isTrue();
    }

    @Test
    void refusesOtherLoopsAndClosesDevice() {
        DefaultEventLoop other = new DefaultEventLoop();
        SimulatedEvtchn unused = new SimulatedEvtchn(hypervisor, 8);

        assertThat(EventChannels.open(other, unused).awaitUninterruptibly().cause())
                .isInstanceOf(TapException.class);

        assertThat(unused.fd().isOpen()).isFalse();
        other.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
    }

    // ---- cost

    @Test
    void allocatesNothingForRing() {
        int[] guestPort = new int[1];
        int[] rings = new int[1];
        long[] bytes = new long[2];
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        int remote = guest.bindUnbound(0);
        guestPort[0] = remote;
        device.recording = false;
        onLoop(() -> channels.bindInterdomain(DOMID, remote, port -> {
            int ring = ++rings[0];
            if (ring == 20_000 || ring == 120_000) {
                bytes[ring / 120_000] = threads.getCurrentThreadAllocatedBytes();
            }
            if (ring < 120_000) {
                channels.notify(port);
                guest.notifyPort(guestPort[0]);
            }
        }));

        await().until(() -> onLoop(() -> rings[0]) == 120_000);

        assertThat((bytes[1] - bytes[0]) / 100_000.0).as("bytes a ring").isLessThan(1);
    }
}
