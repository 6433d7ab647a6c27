package io.blocktap.launcher.xen;

import io.blocktap.launcher.xen.XenToolstack.DeviceState;
import io.blocktap.pipeline.StageException;
import io.blocktap.transport.xen.store.Watch;
import io.blocktap.transport.xen.store.XenbusState;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** Waits for changes of one device. Not thread-safe. */
final class DeviceWatch implements AutoCloseable {
    private final XenHost host;
    private final XenDevice device;
    private final Semaphore changes = new Semaphore(0);
    private final Watch backend;
    private final Watch frontend;

    DeviceWatch(XenHost host, XenDevice device) throws StageException {
        this.host = host;
        this.device = device;
        this.backend = XenHost.await(host.store().watch(device.backend(), changed -> changes.release()));
        this.frontend =
                XenHost.await(host.store().watch(device.frontend().child("state"), changed -> changes.release()));
    }

    /** Waits until a condition holds, or the time is over; returns how the device stands then. */
    DeviceState until(Predicate<DeviceState> condition, Duration limit) throws StageException {
        long end = System.nanoTime() + limit.toNanos();
        while (true) {
            changes.drainPermits();
            DeviceState now = look();
            if (condition.test(now)) {
                return now;
            }
            try {
                if (!changes.tryAcquire(end - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                    return look();
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new StageException("interrupted", e);
            }
        }
    }

    private DeviceState look() throws StageException {
        return new DeviceState(
                XenbusState.of(host.read(host.store(), device.backend().child("state"), "")),
                XenbusState.of(host.read(host.store(), device.frontend().child("state"), "")),
                XenHost.await(host.store().readIfPresent(device.backend().child("error"))));
    }

    @Override
    public void close() {
        backend.close();
        frontend.close();
    }
}
