package io.blocktap.it.lab;

import static io.blocktap.it.lab.LabRun.check;
import static io.blocktap.it.lab.LabRun.same;
import static io.blocktap.it.lab.LabRun.say;

import com.sun.management.ThreadMXBean;
import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.xen.EventChannels;
import io.blocktap.transport.xen.GrantAllocator;
import io.blocktap.transport.xen.GrantAllocator.PeerAccess;
import io.blocktap.transport.xen.GrantCopy;
import io.blocktap.transport.xen.GrantDevice;
import io.blocktap.transport.xen.GrantedPages;
import io.blocktap.transport.xen.XenDevices;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandler;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * The Xen devices as they are, all in one domain: it grants pages to itself, and rings itself.
 *
 * <p>Arguments: number of notifications, number of rounds of the search for leaks, and the steps to go ({@code grants copies events leaks}, all
 * if none is named; {@code pingpong} is a part of {@code events}, for counting system calls).
 */
public final class XenDevicesLab {
    private static final int SELF = 0;
    private static final int PAGE = 4096;
    private static final int BAD_REF = 0x7ffffff0;
    /** A wake-up that is lost is found by the look of each second: after half a second, in the mean. An emulated machine pauses for as long by itself, rarely. */
    private static final long LONG_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(400);

    private static final int MAX_LONG_PAUSES = 10;

    private final XenDevices devices = XenDevices.ofThisMachine();
    private final int notifications;
    private final int rounds;

    private XenDevicesLab(int notifications, int rounds) {
        this.notifications = notifications;
        this.rounds = rounds;
    }

    /** Runs the steps. */
    public static void main(String[] args) throws Exception {
        XenDevicesLab lab = new XenDevicesLab(Integer.parseInt(args[0]), Integer.parseInt(args[1]));
        List<String> steps = args.length > 2
                ? List.of(args).subList(2, args.length)
                : List.of("grants", "copies", "events", "leaks");
        LabRun.toTheEnd(() -> lab.run(steps));
    }

    private void run(List<String> steps) throws Exception {
        if (steps.contains("grants")) {
            mapsWhatWasGranted();
        }
        if (steps.contains("copies")) {
            copiesBothWays();
        }
        if (steps.contains("events")) {
            withLoops("epoll", EpollIoHandler.newFactory(), this::playEvents);
            if (IoUring.isAvailable()) {
                withLoops("io_uring", IoUringIoHandler.newFactory(), this::playEvents);
            } else {
                say("SKIPPED io_uring: %s", IoUring.unavailabilityCause());
            }
        }
        if (steps.contains("pingpong")) {
            withLoops("epoll", EpollIoHandler.newFactory(), this::playPingPong);
        }
        if (steps.contains("leaks")) {
            leavesNothingBehind();
        }
    }

    // ---- grants

    private void mapsWhatWasGranted() throws IOException {
        try (GrantAllocator allocator = GrantAllocator.open(devices);
                GrantDevice device = GrantDevice.open(devices)) {
            GrantedPages granted = allocator.allocate(SELF, 4, PeerAccess.READ_WRITE);
            GrantedPages mapped = device.map(SELF, granted.refs());
            check(granted.address() != mapped.address(), "the same mapping");
            for (int i = 0; i < 4; i++) {
                same(mapped.view().getLong(i * PAGE), 0, "fresh pages are zeroed");
                granted.view().putInt(i * PAGE + 8, 0x1000 + i);
                mapped.view().putInt(i * PAGE + 4092, 0x2000 + i);
            }
            for (int i = 0; i < 4; i++) {
                same(mapped.view().getInt(i * PAGE + 8), 0x1000 + i);
                same(granted.view().getInt(i * PAGE + 4092), 0x2000 + i);
            }
            say("ok 4 pages, seen from both sides");

            MappedRegion kept = mapped.region().retain();
            mapped.close();
            mapped.close();
            granted.view().putInt(0, 77);
            same(kept.view().getInt(0), 77);
            kept.release();
            say("ok a mapping that is used outlives its owner");

            GrantedPages again = device.map(SELF, granted.refs());
            granted.view().put(PAGE + 5, (byte) 9).put(PAGE + 6, (byte) 9);
            again.setUnmapNotify(OptionalInt.of(PAGE + 5), OptionalInt.empty());
            same(granted.view().get(PAGE + 5), 9);
            again.close();
            same(granted.view().get(PAGE + 5), 0, "cleared by the kernel");
            same(granted.view().get(PAGE + 6), 9);
            say("ok the kernel clears a byte when pages are unmapped");

            GrantedPages third = device.map(SELF, granted.refs()[0]);
            say(
                    "ok refused: %s",
                    refusal(() -> {
                        third.setUnmapNotify(OptionalInt.empty(), OptionalInt.of(4000));
                        return third;
                    }));
            third.close();
            String refused = refusal(() -> device.map(SELF, granted.refs()[0], BAD_REF));
            check(refused.contains("EINVAL"), refused);
            say("ok refused: %s", refused);
            granted.close();
            say("ok refused: %s", refusal(() -> allocator.allocate(SELF, 2000, PeerAccess.READ)));
        }
    }

    private static String refusal(Callable<?> callable) {
        try {
            Object result = callable.call();
            throw new AssertionError("not refused: " + result);
        } catch (Exception e) {
            check(e instanceof TapException, "not a TapException: " + e);
            return String.valueOf(e.getMessage());
        }
    }

    // ---- copies

    private static boolean isBad(int segment) {
        return segment % 7 == 3;
    }

    private static int offset(int segment) {
        return segment % 5 * 512;
    }

    private static int length(int segment) {
        return 1 + segment * 131 % (PAGE - offset(segment));
    }

    private void copiesBothWays() throws IOException {
        int count = 400;
        MappedRegion local = MappedRegion.anonymous((count + 1) * PAGE);
        try (GrantAllocator allocator = GrantAllocator.open(devices);
                GrantDevice device = GrantDevice.open(devices);
                GrantedPages guest = allocator.allocate(SELF, count, PeerAccess.READ_WRITE);
                GrantedPages readOnly = allocator.allocate(SELF, 1, PeerAccess.READ);
                GrantCopy in = GrantCopy.fromGuest(device, count);
                GrantCopy out = GrantCopy.toGuest(device, count)) {
            for (int turn = 0; turn < 3; turn++) {
                copyTurn(in, guest, local, turn, true);
                copyTurn(out, guest, local, turn, false);
            }
            say("ok copies of %d segments both ways, %d of them with bad references", count, bad(count));

            out.add(SELF, readOnly.refs()[0], 0, 512, local.address());
            in.add(SELF, readOnly.refs()[0], 0, 512, local.address());
            same(out.run(), 0);
            same(in.run(), 0);
            check(out.status(0) < 0, "written");
            same(in.status(0), GrantCopy.OKAY);
            say(
                    "ok a page granted for reading is not written: status %d, %s",
                    out.status(0), GrantCopy.describe(out.status(0)));
            out.clear();
            in.clear();

            for (int i = 0; i < 20; i++) {
                in.add(SELF, guest.refs()[i], 0, PAGE, i == 10 ? PAGE : local.address() + i * PAGE);
            }
            same(in.run(), -Errno.EFAULT);
            for (int i = 0; i < 20; i++) {
                same(in.status(i), GrantCopy.GENERAL_ERROR);
            }
            in.clear();
            in.add(SELF, guest.refs()[0], 0, PAGE, local.address());
            same(in.run(), 0);
            same(in.status(0), GrantCopy.OKAY);
            say("ok a bad local address fails the whole call, and not the next one");

            measureCopies(in, guest, local);
        } finally {
            local.release();
        }
    }

    private static int bad(int count) {
        int bad = 0;
        for (int i = 0; i < count; i++) {
            bad += isBad(i) ? 1 : 0;
        }
        return bad;
    }

    private static void copyTurn(GrantCopy copy, GrantedPages guest, MappedRegion local, int turn, boolean fromGuest) {
        int[] refs = guest.refs();
        MappedRegion source = fromGuest ? guest.region() : local;
        MappedRegion target = fromGuest ? local : guest.region();
        for (int i = 0; i < refs.length * PAGE; i++) {
            source.view().put(i, (byte) (i * 31 + i / PAGE + turn));
            target.view().put(i, (byte) 0x55);
        }
        for (int i = 0; i < refs.length; i++) {
            // The local side lies across two pages.
            long address = local.address() + (long) i * PAGE + offset(i);
            same(copy.add(SELF, isBad(i) ? BAD_REF : refs[i], offset(i), length(i), address), i);
        }
        same(copy.add(SELF, refs[0], 0, 1, local.address()), -1);
        same(copy.run(), 0);
        for (int i = 0; i < refs.length; i++) {
            same(copy.status(i), isBad(i) ? -3 : GrantCopy.OKAY, String.format("segment %d", i));
            for (int at = 0; at < PAGE; at++) {
                boolean copied = !isBad(i) && at >= offset(i) && at < offset(i) + length(i);
                byte expected = copied ? source.view().get(i * PAGE + at) : (byte) 0x55;
                if (target.view().get(i * PAGE + at) != expected) {
                    throw new AssertionError("segment " + i + ", byte " + at + ": "
                            + target.view().get(i * PAGE + at) + ", not " + expected);
                }
            }
        }
        copy.clear();
    }

    private static void measureCopies(GrantCopy copy, GrantedPages guest, MappedRegion local) {
        int[] refs = guest.refs();
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        copy.clear();
        long before = 0;
        long bytes = 0;
        for (int turn = -20; turn < 20; turn++) {
            if (turn == 0) {
                before = System.nanoTime();
                bytes = threads.getCurrentThreadAllocatedBytes();
            }
            int failed = 0;
            for (int i = 0; i < refs.length; i++) {
                copy.add(SELF, refs[i], 0, PAGE, local.address() + i * PAGE);
            }
            failed += copy.run();
            for (int i = 0; i < refs.length; i++) {
                failed += copy.status(i);
            }
            if (failed != 0) {
                throw new AssertionError("a copy failed");
            }
            copy.clear();
        }
        bytes = threads.getCurrentThreadAllocatedBytes() - bytes;
        say(
                "   %d ns a segment of 4 KiB, %.2f bytes allocated",
                (System.nanoTime() - before) / 20 / refs.length, bytes / 20.0 / refs.length);
        same(bytes / 20 / refs.length, 0);
    }

    // ---- events

    private interface Play {
        void on(String kind, EventLoopGroup group) throws Exception;
    }

    private static void withLoops(String kind, IoHandlerFactory factory, Play play) throws Exception {
        EventLoopGroup group = new MultiThreadIoEventLoopGroup(2, factory);
        try {
            play.on(kind, group);
        } finally {
            group.shutdownGracefully(1, 10_000, TimeUnit.MILLISECONDS).awaitUninterruptibly();
        }
    }

    private void playEvents(String kind, EventLoopGroup group) throws Exception {
        try (Pair pair = new Pair(devices, group.next(), group.next())) {
            pair.ringsOnceAfterBinding();
            pair.masksUntilUnmasked();
            pair.canBeBoundAgain();
            pair.tellsUnmapping(devices);
            say("ok %s: first ring, masking, binding anew, ring at unmapping", kind);
        }
        playPingPong(kind, group);
        ringsManyPorts(kind, group);
    }

    private void playPingPong(String kind, EventLoopGroup group) throws Exception {
        try (Pair pair = new Pair(devices, group.next(), group.next())) {
            pair.playPingPong(kind, notifications);
        }
    }

    private void ringsManyPorts(String kind, EventLoopGroup group) throws Exception {
        int count = 300;
        try (Pair pair = new Pair(devices, group.next(), group.next())) {
            int[] heard = new int[1];
            List<Integer> offered = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                offered.add(pair.onLeft(() -> pair.left.bindUnbound(SELF, port -> {})));
            }
            for (int port : offered) {
                pair.onRight(() -> pair.right.bindInterdomain(SELF, port, any -> heard[0]++));
            }
            pair.awaitRight(() -> heard[0] == count);
            for (int round = 2; round <= 20; round++) {
                pair.onLeft(() -> {
                    for (int port : offered) {
                        same(pair.left.notify(port), 0);
                    }
                    return null;
                });
                int expected = round * count;
                pair.awaitRight(() -> heard[0] == expected);
            }
            say("ok %s: %d ports rung 20 times each, all heard", kind, count);
        }
    }

    /** Two loops of this process with a descriptor each. */
    private static final class Pair implements AutoCloseable {
        private final EventLoop leftLoop;
        private final EventLoop rightLoop;
        private final EventChannels left;
        private final EventChannels right;
        private final CountDownLatch ended = new CountDownLatch(1);
        private int leftPort;
        private int rightPort;
        private int leftHeard;
        private int rightHeard;
        private int rightSent;

        Pair(XenDevices devices, EventLoop leftLoop, EventLoop rightLoop) {
            this.leftLoop = leftLoop;
            this.rightLoop = rightLoop;
            left = EventChannels.open(leftLoop, devices).syncUninterruptibly().getNow();
            right = EventChannels.open(rightLoop, devices).syncUninterruptibly().getNow();
        }

        <T> T onLeft(Callable<T> callable) {
            return leftLoop.submit(callable).syncUninterruptibly().getNow();
        }

        <T> T onRight(Callable<T> callable) {
            return rightLoop.submit(callable).syncUninterruptibly().getNow();
        }

        void awaitRight(Callable<Boolean> condition) throws InterruptedException {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
            while (!onRight(condition)) {
                check(System.nanoTime() - end < 0, "waited for 60 s");
                Thread.sleep(5);
            }
        }

        /** Long enough for what was rung to be heard, and shorter than the look that needs no ring. */
        void settle() {
            rightLoop.schedule(() -> {}, 300, TimeUnit.MILLISECONDS).syncUninterruptibly();
        }

        int rightHeard() {
            return onRight(() -> rightHeard);
        }

        void ring() {
            same(onLeft(() -> left.notify(leftPort)), 0);
        }

        void ringsOnceAfterBinding() throws Exception {
            leftPort = onLeft(() -> left.bindUnbound(SELF, port -> leftHeard++));
            rightPort = onRight(() -> right.bindInterdomain(SELF, leftPort, port -> rightHeard++));
            awaitRight(() -> rightHeard == 1);
            settle();
            same(rightHeard(), 1);
            same(onLeft(() -> leftHeard), 0);
            ring();
            awaitRight(() -> rightHeard == 2);
        }

        void masksUntilUnmasked() throws Exception {
            onRight(() -> {
                right.close(rightPort);
                rightHeard = 0;
                rightPort = right.bindInterdomain(SELF, leftPort, port -> {
                    rightHeard++;
                    right.keepMasked(port);
                });
                return null;
            });
            awaitRight(() -> rightHeard == 1);
            for (int i = 0; i < 5; i++) {
                ring();
            }
            settle();
            same(rightHeard(), 1, "masked");
            onRight(() -> {
                right.unmask(rightPort);
                return null;
            });
            awaitRight(() -> rightHeard == 2);
            settle();
            same(rightHeard(), 2, "five rings, latched as one");
            onRight(() -> {
                right.unmask(rightPort);
                return null;
            });
            settle();
            same(rightHeard(), 2, "nothing was latched");
        }

        void canBeBoundAgain() throws Exception {
            int closed = rightPort;
            onRight(() -> {
                right.close(closed);
                rightHeard = 0;
                return null;
            });
            same(onRight(() -> right.notify(closed)), -Errno.ENOTCONN);
            ring(); // into the void
            settle();
            same(rightHeard(), 0);
            onRight(() -> rightPort = right.bindInterdomain(SELF, leftPort, port -> rightHeard++));
            awaitRight(() -> rightHeard == 1);
            String refused = refusal(() -> onRight(() -> right.bindInterdomain(SELF, leftPort, port -> {})));
            check(refused.contains("EINVAL") && refused.contains("bound already"), refused);
            ring();
            awaitRight(() -> rightHeard == 2);
        }

        void tellsUnmapping(XenDevices devices) throws Exception {
            try (GrantAllocator allocator = GrantAllocator.open(devices);
                    GrantDevice device = GrantDevice.open(devices);
                    GrantedPages granted = allocator.allocate(SELF, 1, PeerAccess.READ_WRITE)) {
                GrantedPages mapped = device.map(SELF, granted.refs());
                granted.view().put(3, (byte) 1);
                mapped.setUnmapNotify(OptionalInt.of(3), OptionalInt.of(leftPort));
                int before = rightHeard();
                mapped.close();
                awaitRight(() -> rightHeard == before + 1);
                same(granted.view().get(3), 0);
            }
        }

        void playPingPong(String kind, int notifications) throws Exception {
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            int half = notifications / 2;
            int warm = half / 4;
            long[] times = new long[4]; // when it began, the last ring, the longest pause, how many long ones
            long[] bytes = new long[2];
            leftPort = onLeft(() -> left.bindUnbound(SELF, port -> {
                long now = System.nanoTime();
                times[2] = Math.max(times[2], now - times[1]);
                times[3] += now - times[1] > LONG_PAUSE_NANOS ? 1 : 0;
                times[1] = now;
                leftHeard++;
                if (leftHeard == warm) {
                    bytes[0] = threads.getCurrentThreadAllocatedBytes();
                }
                if (leftHeard == half) {
                    bytes[1] = threads.getCurrentThreadAllocatedBytes();
                    ended.countDown();
                } else {
                    left.notify(port);
                }
            }));
            rightPort = onRight(() -> right.bindInterdomain(SELF, leftPort, port -> {
                rightHeard++;
                if (rightHeard > 1) { // the first is that of the binding
                    rightSent++;
                    right.notify(port);
                }
            }));
            awaitRight(() -> rightHeard == 1);
            onLeft(() -> {
                times[0] = times[1] = System.nanoTime();
                return left.notify(leftPort);
            });
            boolean complete = ended.await(200, TimeUnit.SECONDS);
            check(complete, "a ring was lost: left heard " + onLeft(() -> leftHeard) + ", right " + rightHeard());
            settle();
            same(onLeft(() -> leftHeard), half);
            same(onRight(() -> rightHeard), half + 1);
            same(onRight(() -> rightSent), half);
            check(times[3] <= MAX_LONG_PAUSES, times[3] + " long pauses: wake-ups were lost");
            say(
                    "ok %s: %d notifications between two loops, none lost: %d ns each, longest pause %.1f ms, %d long ones, %.3f bytes allocated a ring",
                    kind,
                    2 * half,
                    (times[1] - times[0]) / (2 * half),
                    times[2] / 1e6,
                    times[3],
                    (bytes[1] - bytes[0]) / (double) (half - warm));
        }

        @Override
        public void close() {
            left.close().syncUninterruptibly();
            right.close().syncUninterruptibly();
        }
    }

    // ---- leaks

    private static long count(String file, String word) {
        try (Stream<String> lines = Files.lines(Path.of(file))) {
            return lines.filter(line -> line.contains(word)).count();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long descriptors() throws IOException {
        try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"))) {
            return fds.count();
        }
    }

    private static String inUse() throws IOException {
        return String.format(
                "%d descriptors, %d regions, %d mappings of Xen's devices, %d interrupts of evtchn",
                descriptors(),
                MappedRegion.liveRegions(),
                count("/proc/self/maps", "/dev/xen"),
                count("/proc/interrupts", "evtchn"));
    }

    private void leavesNothingBehind() throws Exception {
        EventLoopGroup group = new MultiThreadIoEventLoopGroup(2, EpollIoHandler.newFactory());
        try (GrantAllocator allocator = GrantAllocator.open(devices);
                GrantDevice device = GrantDevice.open(devices);
                Pair pair = new Pair(devices, group.next(), group.next())) {
            String before = "";
            int largestPort = 0;
            int firstPort = 0;
            for (int round = -10; round < rounds; round++) {
                if (round == 0) {
                    before = inUse();
                    firstPort = largestPort;
                }
                GrantedPages granted = allocator.allocate(SELF, 4, PeerAccess.READ_WRITE);
                GrantedPages mapped = device.map(SELF, granted.refs());
                if (round % 2 == 0) {
                    granted.close();
                    mapped.close();
                } else {
                    mapped.close();
                    granted.close();
                }
                refusal(() -> device.map(SELF, BAD_REF));
                int offered = pair.onLeft(() -> pair.left.bindUnbound(SELF, port -> {}));
                int bound = pair.onRight(() -> pair.right.bindInterdomain(SELF, offered, port -> {}));
                largestPort = Math.max(largestPort, Math.max(offered, bound));
                pair.onLeft(() -> {
                    pair.left.close(offered);
                    return null;
                });
                pair.onRight(() -> {
                    pair.right.close(bound);
                    return null;
                });
                if (round % 50 == 0) {
                    try (Pair second = new Pair(devices, group.next(), group.next())) {
                        int port = second.onLeft(() -> second.left.bindUnbound(SELF, any -> {}));
                        second.onRight(() -> second.right.bindInterdomain(SELF, port, any -> {}));
                    }
                }
            }
            String after = inUse();
            check(after.equals(before), "before: " + before + "; after: " + after);
            same(largestPort, firstPort, "ports are given out anew");
            say("ok nothing left behind after %d rounds: %s, largest port %d", rounds, before, largestPort);
        } finally {
            group.shutdownGracefully(1, 10_000, TimeUnit.MILLISECONDS).awaitUninterruptibly();
        }
    }
}
