package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.LoopKind;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A frontend that rings and rings, over a model of the driver. The same on a real Xen: {@code XenFrontendLab} in it-tests. */
@Timeout(60)
class RingDoorbellTest {
    private static final int STORM = 100_000;

    private final SimulatedEvtchn.Hypervisor hypervisor = new SimulatedEvtchn.Hypervisor(1);
    private final AtomicInteger put = new AtomicInteger();
    private final AtomicInteger taken = new AtomicInteger();
    private final AtomicInteger looks = new AtomicInteger();
    private EventLoopGroup group;
    private EventLoop loop;
    private SimulatedEvtchn guest;
    private EventChannels channels;
    private RingDoorbell doorbell;
    private int remote;
    private int local;

    @BeforeEach
    void start() {
        group = LoopKind.EPOLL.newGroup(1);
        loop = group.next();
        guest = new SimulatedEvtchn(hypervisor, 4096);
        guest.recording = false;
        SimulatedEvtchn device = new SimulatedEvtchn(hypervisor, 4096);
        device.recording = false;
        channels = EventChannels.open(loop, device).syncUninterruptibly().getNow();
        remote = guest.bindUnbound(0);
        local = onLoop(() -> {
            doorbell = new RingDoorbell(channels, loop, taken::get, () -> {
                looks.incrementAndGet();
                taken.set(put.get());
            });
            return channels.bindInterdomain(5, remote, doorbell);
        });
        await().until(() -> looks.get() == 1);
    }

    @AfterEach
    void stop() {
        channels.close().syncUninterruptibly();
        guest.close();
        LoopKind.end(group);
    }

    private <T> T onLoop(Callable<T> callable) {
        return loop.submit(callable).syncUninterruptibly().getNow();
    }

    /** Rings for nothing as fast as it can; returns for how many milliseconds. */
    private long storm() {
        long start = System.nanoTime();
        for (int i = 0; i < STORM; i++) {
            guest.notifyPort(remote);
        }
        return Duration.ofNanos(System.nanoTime() - start).toMillis();
    }

    @Test
    void ringsWithoutRequestsAreHeardEveryFewMillisecondsOnly() {
        long millis = storm();

        // A pause ends with a look of its own, and with one for the ring that was latched.
        assertThat(looks.get())
                .isLessThanOrEqualTo(
                        RingDoorbell.MOST_USELESS + 2 + 2 * (int) (millis / RingDoorbell.PAUSE_MILLIS + 1));
    }

    @Test
    void aRequestInTheMiddleOfAStormIsTaken() {
        storm();
        put.incrementAndGet();
        guest.notifyPort(remote);

        await().until(() -> taken.get() == 1);
    }

    @Test
    void aRequestThatCameInAPauseIsTakenThoughItsRingWasLatched() {
        for (int round = 1; round <= 200; round++) {
            for (int i = 0; i < 2 * RingDoorbell.MOST_USELESS; i++) {
                guest.notifyPort(remote);
            }
            put.incrementAndGet();
            guest.notifyPort(remote);

            int wanted = round;
            await().pollInterval(Duration.ofMillis(1)).until(() -> taken.get() == wanted);
        }
    }

    @Test
    void aFrontendThatRingsForEachRequestIsNeverSlowedDown() {
        for (int request = 1; request <= 10 * RingDoorbell.MOST_USELESS; request++) {
            put.incrementAndGet();
            guest.notifyPort(remote);
            int wanted = request;
            while (taken.get() != wanted) {
                Thread.onSpinWait();
            }
        }

        int before = looks.get();
        guest.notifyPort(remote);
        await().until(() -> looks.get() == before + 1);
        assertThat(onLoop(() -> loop.inEventLoop() && channels.boundPorts() == 1))
                .isTrue();
        assertThat(looks.get()).isLessThanOrEqualTo(10 * RingDoorbell.MOST_USELESS + 2);
    }

    @Test
    void aRingThatIsClosedInAPauseIsNotLookedAtAnyMore() {
        storm();
        int before = onLoop(() -> {
            doorbell.close();
            channels.close(local);
            return looks.get();
        });

        guest.notifyPort(remote);
        onLoop(() -> loop.schedule(() -> {}, 3 * RingDoorbell.PAUSE_MILLIS, java.util.concurrent.TimeUnit.MILLISECONDS))
                .syncUninterruptibly();
        assertThat(looks.get()).isEqualTo(before);
    }
}
