package io.blocktap.it.lab;

import static io.blocktap.it.lab.LabRun.check;
import static io.blocktap.it.lab.LabRun.same;
import static io.blocktap.it.lab.LabRun.say;
import static io.blocktap.transport.ring.Blkif.BLKIF_OP_DISCARD;
import static io.blocktap.transport.ring.Blkif.BLKIF_OP_INDIRECT;
import static io.blocktap.transport.ring.Blkif.BLKIF_OP_READ;
import static io.blocktap.transport.ring.Blkif.BLKIF_OP_WRITE;
import static io.blocktap.transport.ring.Blkif.BLKIF_RSP_EOPNOTSUPP;
import static io.blocktap.transport.ring.Blkif.BLKIF_RSP_ERROR;
import static io.blocktap.transport.ring.Blkif.BLKIF_RSP_OKAY;

import io.blocktap.transport.TapException;
import io.blocktap.transport.frontend.BlockFrontend;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.xen.GrantAllocator.PeerAccess;
import io.blocktap.transport.xen.GrantedPages;
import io.blocktap.transport.xen.XenDevices;
import io.blocktap.transport.xen.XenRing;
import io.blocktap.transport.xen.frontend.XenDeviceNodes;
import io.blocktap.transport.xen.frontend.XenFrontend;
import io.blocktap.transport.xen.frontend.XenFrontend.Abi;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenbusState;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;

/**
 * Frontends in user space against a blocktap that runs beside, on the real devices of Xen: honest ones, hostile ones, storms; then the system calls that a request costs, and whether
 * anything was left behind.
 *
 * <p>Arguments: the server's process id, its log, the backend's directory, the seed, and the steps to go ({@code honest hostile storms count}, all if none is named). Honest frontends use the
 * first 32 MiB of the disk, hostile ones what is behind.
 */
public final class XenFrontendLab {
    private static final int PAGE = 4096;
    private static final long HOSTILE_SECTOR = (32 << 20) / 512;
    private static final int HOSTILE_SECTORS = 16384;
    private static final int STORM_RINGS = 100_000;
    private static final int STORM_STATES = 1000;
    /** An emulated machine pauses by itself; a frontend that is starved by another one waits for ever. */
    private static final long LONGEST_ANSWER_MILLIS = 5000;

    private final long server;
    private final Path log;
    private final XenStorePath directory;
    private final long seed;
    private final EventLoopGroup group = new MultiThreadIoEventLoopGroup(2, EpollIoHandler.newFactory());
    private final EventLoop honestLoop = group.next();
    private final EventLoop hostileLoop = group.next();

    private XenFrontendLab(String[] args) {
        server = Long.parseLong(args[0]);
        log = Path.of(args[1]);
        directory = XenStorePath.of(args[2]);
        seed = Long.parseLong(args[3]);
    }

    /** Runs the steps. */
    public static void main(String[] args) {
        List<String> steps = args.length > 4
                ? List.of(args).subList(4, args.length)
                : List.of("honest", "hostile", "storms", "count");
        LabRun.toTheEnd(() -> new XenFrontendLab(args).run(steps));
    }

    private void run(List<String> steps) throws Exception {
        verify(Abi.X86_64, 1, 1, 8, 11 * PAGE); // what is loaded and opened once is there from now on
        String before = settledUse("");
        say("at first: %s", before);
        if (steps.contains("honest")) {
            honest();
        }
        try (XenFrontend neighbour = connect(Abi.X86_64, 1, 1, 4)) {
            HonestProbe probe = new HonestProbe(client(neighbour, 0, 1, PAGE), 0);
            if (steps.contains("hostile")) {
                hostile(probe);
            }
            if (steps.contains("storms")) {
                storms(probe);
            }
            probe.stop();
            check(probe.answers() > 10, "the neighbour got " + probe.answers() + " answers only");
            say("ok a neighbour was served all the time: %d answers", probe.answers());
        }
        if (steps.contains("count")) {
            count();
        }
        same(settledUse(before).compareTo(before), 0, "left behind; before: " + before + "; after: " + use());
        say("ok nothing is left behind: %s", before);
    }

    // ---- honest frontends

    private XenFrontend connect(Abi abi, int ringPages, int queues, int dataPages) throws Exception {
        return XenFrontend.connect(
                        honestLoop,
                        XenDevices.ofThisMachine(),
                        directory,
                        "",
                        new XenFrontend.Options(abi, ringPages, queues, dataPages))
                .get();
    }

    private BlockFrontend client(XenFrontend frontend, int queue, int depth, int requestBytes) throws Exception {
        return honestLoop
                .submit(() -> new BlockFrontend(frontend.queues().get(queue), depth, requestBytes))
                .get();
    }

    /** What belongs at an offset of the disk. */
    static byte[] content(long offset, int length) {
        byte[] bytes = new byte[length];
        new Random(offset * 31 + 7).nextBytes(bytes);
        return bytes;
    }

    private void honest() throws Exception {
        for (Abi abi : Abi.values()) {
            verify(abi, 1, 1, 32, 11 * PAGE);
            verify(abi, 16, 1, 32, 11 * PAGE);
        }
        verify(Abi.X86_64, 1, 2, 16, 11 * PAGE);
        verify(Abi.X86_32, 4, 2, 16, 11 * PAGE);
        verify(Abi.X86_64, 1, 1, 2, 256 * PAGE);
        verify(Abi.X86_32, 1, 1, 2, 256 * PAGE);
    }

    private void verify(Abi abi, int ringPages, int queues, int depth, int requestBytes) throws Exception {
        long start = System.nanoTime();
        int pages = requestBytes / PAGE;
        int dataPages = depth * (pages + (pages > 11 ? 1 : 0));
        int pieces = requestBytes > 11 * PAGE ? 6 : 64;
        int bytes = requestBytes + 512; // the last request of each piece is short
        try (XenFrontend frontend = connect(abi, ringPages, queues, dataPages)) {
            check(frontend.geometry().maxIndirectSegments() >= 256, "no indirect requests: " + frontend.geometry());
            List<BlockFrontend> clients = new ArrayList<>();
            for (int i = 0; i < queues; i++) {
                clients.add(client(frontend, i, depth, requestBytes));
            }
            List<CompletableFuture<Void>> writes = new ArrayList<>();
            for (int i = 0; i < pieces; i++) {
                long offset = offset(i, bytes);
                writes.add(clients.get(i % queues).write(offset, Unpooled.wrappedBuffer(content(offset, bytes))));
            }
            CompletableFuture.allOf(writes.toArray(CompletableFuture[]::new)).get();
            clients.get(0).flush().get();
            for (int i = 0; i < pieces; i++) {
                // read through another ring than written
                sameContent(clients.get((i + 1) % queues), offset(i, bytes), content(offset(i, bytes), bytes));
            }
            clients.get(0).discard(offset(0, bytes), PAGE).get();
            sameContent(clients.get(0), offset(0, bytes), new byte[PAGE]);
        }
        say(
                "ok %s, %d ring(s) of %d page(s), requests of up to %d segments: %d KiB verified in %d ms",
                abi.protocol(),
                queues,
                ringPages,
                pages,
                pieces * bytes >> 10,
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start));
    }

    private static long offset(int piece, int bytes) {
        return 65536 + (long) piece * ((bytes + PAGE) & -PAGE);
    }

    private static void sameContent(BlockFrontend client, long offset, byte[] expected) throws Exception {
        ByteBuf read = Unpooled.buffer(expected.length, expected.length);
        client.read(offset, read).get();
        check(read.equals(Unpooled.wrappedBuffer(expected)), "wrong content at " + offset);
    }

    // ---- hostile ones

    private long logged(String text) throws IOException {
        try (Stream<String> lines = Files.lines(log)) {
            return lines.filter(line -> line.contains(text)).count();
        }
    }

    private void awaitLogged(String text, long times) throws IOException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (logged(text) < times) {
            check(System.nanoTime() < deadline, "the server does not log '" + text + "'");
            LockSupport.parkNanos(10_000_000);
        }
    }

    private void hostile(HonestProbe probe) throws Exception {
        for (Abi abi : List.of(Abi.X86_64, Abi.X86_32)) {
            try (HostileFrontend frontend = new HostileFrontend(hostileLoop, directory, abi, 1).connect()) {
                badSegments(frontend);
                badIndirects(frontend);
                revokedGrants(frontend);
                randomSlots(frontend);
                rewrittenSlots(frontend);
            }
            say(
                    "ok %s: hostile requests are answered with an error each; the neighbour's longest answer %d ms",
                    abi.protocol(), probe.longestMillis());
        }
        brokenRing("overrun", ring -> ring.produce(1000));
        brokenRing("index that goes back", ring -> {
            ring.oneSegment(BLKIF_OP_READ, 1, HOSTILE_SECTOR, HostileFrontend.BAD_GREF, 0, 7);
            ring.ask(1);
            ring.produce(0);
        });
        badRings();
        say("ok broken rings are closed alone; the neighbour's longest answer %d ms", probe.longestMillis());
    }

    private void badSegments(HostileFrontend frontend) throws Exception {
        HostileFrontend.Ring ring = frontend.rings.get(0);
        try (GrantedPages data = frontend.allocator.allocate(0, 1, PeerAccess.READ_WRITE);
                GrantedPages readOnly = frontend.allocator.allocate(0, 1, PeerAccess.READ)) {
            int gref = data.refs()[0];
            int id = 100;
            for (int operation : List.of(BLKIF_OP_READ, BLKIF_OP_WRITE)) {
                ring.oneSegment(operation, ++id, HOSTILE_SECTOR, gref, 0, 7);
                same(ring.ask(id), BLKIF_RSP_OKAY, "an honest one");
                ring.oneSegment(operation, ++id, HOSTILE_SECTOR, HostileFrontend.BAD_GREF, 0, 7);
                same(ring.ask(id), BLKIF_RSP_ERROR, "a grant that does not exist");
                ring.oneSegment(operation, ++id, HOSTILE_SECTOR, -1, 0, 7);
                same(ring.ask(id), BLKIF_RSP_ERROR, "grant 0xffffffff");
                for (int[] bad : new int[][] {{0, 8}, {5, 4}, {8, 8}, {0, 255}, {255, 255}, {128, 3}}) {
                    ring.oneSegment(operation, ++id, HOSTILE_SECTOR, gref, bad[0], bad[1]);
                    same(ring.ask(id), BLKIF_RSP_ERROR, "sectors " + bad[0] + " to " + bad[1] + " of a page");
                }
                for (long sector : new long[] {-1, Long.MIN_VALUE, Long.MAX_VALUE, -8, 1L << 55, 48 << 11}) {
                    ring.oneSegment(operation, ++id, sector, gref, 0, 7);
                    same(ring.ask(id), BLKIF_RSP_ERROR, "sector " + sector);
                }
                for (int segments : List.of(0, 12, 255)) {
                    int slot = ring.oneSegment(operation, ++id, HOSTILE_SECTOR, gref, 0, 7);
                    ring.memory.put(slot + BlkifLayout.NR_SEGMENTS, (byte) segments);
                    same(ring.ask(id), BLKIF_RSP_ERROR, segments + " segments");
                }
            }
            ring.oneSegment(BLKIF_OP_WRITE, ++id, HOSTILE_SECTOR, readOnly.refs()[0], 0, 7);
            same(ring.ask(id), BLKIF_RSP_OKAY, "a page that may be read, written to the disk");
            ring.oneSegment(BLKIF_OP_READ, ++id, HOSTILE_SECTOR, readOnly.refs()[0], 0, 7);
            same(ring.ask(id), BLKIF_RSP_ERROR, "a page that may be read only, filled from the disk");
            for (int operation : List.of(4, 7, 77, 255)) {
                ring.oneSegment(operation, ++id, HOSTILE_SECTOR, gref, 0, 7);
                same(ring.ask(id), BLKIF_RSP_EOPNOTSUPP, "operation " + operation);
            }
        }
    }

    private void badIndirects(HostileFrontend frontend) throws Exception {
        HostileFrontend.Ring ring = frontend.rings.get(0);
        try (GrantedPages pages = frontend.allocator.allocate(0, 2, PeerAccess.READ_WRITE)) {
            int table = pages.refs()[0];
            int id = 500;
            for (int i = 0; i < 512; i++) {
                HostileFrontend.segment(pages.view(), i * 8, pages.refs()[1], 0, 7);
            }
            for (int segments : List.of(12, 256)) {
                ring.indirect(BLKIF_OP_READ, ++id, HOSTILE_SECTOR, segments, table);
                same(ring.ask(id), BLKIF_RSP_OKAY, segments + " segments in the same page");
            }
            for (int segments : List.of(0, 257, 4097, 65535)) {
                ring.indirect(BLKIF_OP_READ, ++id, HOSTILE_SECTOR, segments, table);
                same(ring.ask(id), BLKIF_RSP_ERROR, segments + " indirect segments");
            }
            ring.indirect(BLKIF_OP_READ, ++id, HOSTILE_SECTOR, 20, HostileFrontend.BAD_GREF);
            same(ring.ask(id), BLKIF_RSP_ERROR, "a table that is not granted");
            ring.indirect(BLKIF_OP_INDIRECT, ++id, HOSTILE_SECTOR, 20, table);
            check(ring.ask(id) != BLKIF_RSP_OKAY, "indirect in indirect");
            ring.indirect(BLKIF_OP_DISCARD, ++id, HOSTILE_SECTOR, 20, table);
            check(ring.ask(id) != BLKIF_RSP_OKAY, "an indirect discard");
            HostileFrontend.segment(pages.view(), 15 * 8, HostileFrontend.BAD_GREF, 0, 7);
            for (int operation : List.of(BLKIF_OP_READ, BLKIF_OP_WRITE)) {
                ring.indirect(operation, ++id, HOSTILE_SECTOR, 20, table);
                same(ring.ask(id), BLKIF_RSP_ERROR, "a bad grant in the table");
            }
            HostileFrontend.segment(pages.view(), 15 * 8, pages.refs()[1], 6, 9);
            ring.indirect(BLKIF_OP_WRITE, ++id, HOSTILE_SECTOR, 20, table);
            same(ring.ask(id), BLKIF_RSP_ERROR, "a bad segment in the table");
            HostileFrontend.segment(pages.view(), 15 * 8, table, 0, 7);
            ring.indirect(BLKIF_OP_READ, ++id, HOSTILE_SECTOR, 20, table);
            same(ring.ask(id), BLKIF_RSP_OKAY, "a table that is read into");
        }
    }

    /** Pages are taken back while requests for them are under way: any answer will do, but there is one for each. */
    private void revokedGrants(HostileFrontend frontend) throws Exception {
        HostileFrontend.Ring ring = frontend.rings.get(0);
        int answers = 0;
        for (int round = 0; round < 50; round++) {
            GrantedPages data = frontend.allocator.allocate(0, 8, PeerAccess.READ_WRITE);
            int[] refs = data.refs();
            for (int i = 0; i < ring.slots; i++) {
                ring.oneSegment(i & 1, i, HOSTILE_SECTOR + i * 8, refs[i % 8], 0, 7);
            }
            ring.publish();
            data.close();
            answers += ring.awaitAll();
        }
        same(answers, 50 * ring.slots, "answers");
    }

    private void randomSlots(HostileFrontend frontend) throws Exception {
        HostileFrontend.Ring ring = frontend.rings.get(0);
        Random random = new Random(seed);
        try (GrantedPages data = frontend.allocator.allocate(0, 4, PeerAccess.READ_WRITE)) {
            for (int round = 0; round < 100; round++) {
                for (int i = 0; i < ring.slots; i++) {
                    fillRandomly(ring, ring.put(), random, data.refs());
                }
                ring.publish();
                same(ring.awaitAll(), ring.slots, "answers, seed " + seed);
            }
        }
    }

    /** Garbage in every byte, the paddings included; often with an operation, a sector and grants that could be good. */
    private static void fillRandomly(HostileFrontend.Ring ring, int slot, Random random, int[] refs) {
        BlkifLayout layout = ring.published().layout();
        for (int i = 0; i < layout.slotBytes(); i++) {
            ring.memory.put(slot + i, (byte) random.nextInt());
        }
        if (random.nextInt(4) > 0) {
            ring.memory.put(slot + BlkifLayout.OPERATION, (byte) random.nextInt(8));
            ring.memory.put(slot + BlkifLayout.NR_SEGMENTS, (byte) random.nextInt(13));
            for (int i = 0; i < 11; i++) {
                int first = random.nextInt(8);
                HostileFrontend.segment(
                        ring.memory,
                        slot + layout.segment(i),
                        refs[random.nextInt(refs.length)],
                        first,
                        first + random.nextInt(9 - first));
            }
        }
        // Never one of the neighbours' sectors: what is in range is written, as is right.
        boolean isIndirect = ring.memory.get(slot + BlkifLayout.OPERATION) == BLKIF_OP_INDIRECT;
        ring.memory.putLong(
                slot + layout.sectorNumber(),
                random.nextBoolean() || isIndirect
                        ? HOSTILE_SECTOR + random.nextInt(HOSTILE_SECTORS)
                        : random.nextLong() | 1L << 40);
    }

    /** Another thread writes into the slots while the backend reads them. */
    private void rewrittenSlots(HostileFrontend frontend) throws Exception {
        HostileFrontend.Ring ring = frontend.rings.get(0);
        try (GrantedPages data = frontend.allocator.allocate(0, 4, PeerAccess.READ_WRITE)) {
            int[] refs = data.refs();
            AtomicBoolean stop = new AtomicBoolean();
            Thread writer = new Thread(() -> {
                Random random = new Random(seed + 1);
                while (!stop.get()) {
                    for (int i = 0; i < ring.slots; i++) {
                        fillRandomly(ring, ring.slot(i), random, refs);
                    }
                    Thread.yield();
                }
            });
            writer.start();
            try {
                for (int round = 0; round < 50; round++) {
                    for (int i = 0; i < ring.slots; i++) {
                        ring.oneSegment(i & 1, i, HOSTILE_SECTOR + i * 8, refs[i % 4], 0, 7);
                    }
                    ring.publish();
                    same(ring.awaitAll(), ring.slots, "answers");
                }
            } finally {
                stop.set(true);
                writer.join();
            }
        }
    }

    private interface Violation {
        void commit(HostileFrontend.Ring ring) throws Exception;
    }

    /** One of two rings is broken; the other one goes on. */
    private void brokenRing(String what, Violation violation) throws Exception {
        long before = logged("the ring is closed");
        try (HostileFrontend frontend = new HostileFrontend(hostileLoop, directory, Abi.X86_64, 2).connect()) {
            HostileFrontend.Ring broken = frontend.rings.get(0);
            HostileFrontend.Ring other = frontend.rings.get(1);
            violation.commit(broken);
            broken.ring(1);
            awaitLogged("the ring is closed", before + 1);
            for (int id = 1; id < 100; id++) {
                other.oneSegment(BLKIF_OP_READ, id, HOSTILE_SECTOR, HostileFrontend.BAD_GREF, 0, 7);
                same(other.ask(id), BLKIF_RSP_ERROR, "the other ring");
            }
            same(logged("the ring is closed"), before + 1, what + ": rings closed");
        }
        say("ok %s: that ring is closed, the other one of the device goes on", what);
    }

    private void badRings() throws Exception {
        for (XenRing bad : List.of(
                new XenRing(List.of(HostileFrontend.BAD_GREF), 1, BlkifLayout.X86_64),
                new XenRing(List.of(), 1, BlkifLayout.X86_64))) {
            try (HostileFrontend frontend = new HostileFrontend(hostileLoop, directory, Abi.X86_64, 1)) {
                XenRing good = frontend.rings.get(0).published();
                XenRing ring = bad.grefs().isEmpty()
                        ? new XenRing(good.grefs(), 0x3fffffff, good.layout()) // a port that nobody has offered
                        : new XenRing(bad.grefs(), good.eventChannel(), good.layout());
                frontend.nodes.publish("x86_64-abi", List.of(ring)).get();
                try {
                    frontend.nodes.awaitBackend(List.of(XenbusState.CONNECTED)).get();
                    throw new AssertionError("connected: " + ring);
                } catch (ExecutionException e) {
                    check(e.getCause() instanceof TapException, "not refused: " + e);
                    say("ok refused: %s", e.getCause().getMessage());
                }
            }
        }
    }

    // ---- storms

    private void storms(HonestProbe probe) throws Exception {
        ringStorm(probe);
        stateStorm(probe);
    }

    private void ringStorm(HonestProbe probe) throws Exception {
        try (HostileFrontend frontend = new HostileFrontend(hostileLoop, directory, Abi.X86_64, 1).connect()) {
            HostileFrontend.Ring ring = frontend.rings.get(0);
            probe.longestMillis();
            long answers = probe.answers();
            long cpu = cpuTicks();
            long start = System.nanoTime();
            ring.ring(STORM_RINGS);
            long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
            long meanwhile = probe.answers() - answers;
            long longest = probe.longestMillis();
            say(
                    "ok %d rings without a request in %d ms: the server used %d ms of CPU, the neighbour got %d answers, the longest took %d ms",
                    STORM_RINGS, millis, (cpuTicks() - cpu) * 10, meanwhile, longest);
            check(meanwhile > 0, "the neighbour was starved");
            check(longest < LONGEST_ANSWER_MILLIS, "the neighbour waited for " + longest + " ms");
            ring.oneSegment(BLKIF_OP_READ, 7, HOSTILE_SECTOR, HostileFrontend.BAD_GREF, 0, 7);
            long asked = System.nanoTime();
            same(ring.ask(7), BLKIF_RSP_ERROR, "a request after the storm");
            say("ok a request after the storm is answered in %d us", (System.nanoTime() - asked) / 1000);
        }
    }

    private void stateStorm(HonestProbe probe) throws Exception {
        long lines = logged("");
        try (HostileFrontend frontend = new HostileFrontend(hostileLoop, directory, Abi.X86_64, 1).connect()) {
            XenbusState[] states = {
                XenbusState.INITIALISED, XenbusState.CLOSING, XenbusState.INITIALISING, XenbusState.CONNECTED
            };
            probe.longestMillis();
            long answers = probe.answers();
            long cpu = cpuTicks();
            long start = System.nanoTime();
            List<CompletableFuture<Void>> written = new ArrayList<>();
            for (int i = 0; i < STORM_STATES; i++) {
                written.add(frontend.nodes.say(states[i % states.length]));
                if (written.size() == 16) {
                    CompletableFuture.allOf(written.toArray(CompletableFuture[]::new))
                            .get();
                    written.clear();
                }
            }
            long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
            long meanwhile = probe.answers() - answers;
            long longest = probe.longestMillis();
            say(
                    "ok %d states in %d ms: the server used %d ms of CPU, the neighbour got %d answers, the longest took %d ms",
                    STORM_STATES, millis, (cpuTicks() - cpu) * 10, meanwhile, longest);
            check(longest < LONGEST_ANSWER_MILLIS, "the neighbour waited for " + longest + " ms");
            // Afterwards it can still behave.
            frontend.nodes.say(XenbusState.CLOSING).get();
            frontend.nodes
                    .awaitBackend(List.of(XenbusState.CLOSING, XenbusState.CLOSED))
                    .get();
            frontend.nodes.say(XenbusState.INITIALISING).get();
            awaitOffer(frontend.nodes);
            frontend.publish().get();
            frontend.nodes.awaitBackend(List.of(XenbusState.CONNECTED)).get();
            HostileFrontend.Ring ring = frontend.rings.get(0);
            ring.oneSegment(BLKIF_OP_READ, 9, HOSTILE_SECTOR, HostileFrontend.BAD_GREF, 0, 7);
            same(ring.ask(9), BLKIF_RSP_ERROR, "a request after the storm");
        }
        long more = logged("") - lines;
        check(more <= 200, more + " lines in the log");
        say("ok after the storm it connects again; %d lines in the server's log", more);
    }

    /** Waits until a backend that may have closed offers the disk again. */
    private static void awaitOffer(XenDeviceNodes nodes) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (nodes.awaitBackend(List.of(XenbusState.INIT_WAIT, XenbusState.CLOSED))
                        .get()
                == XenbusState.CLOSED) {
            check(System.nanoTime() < deadline, "the backend stays closed after the storm");
        }
    }

    private long cpuTicks() throws IOException {
        String stat = Files.readString(Path.of("/proc/" + server + "/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
    }

    // ---- the count of system calls

    private void count() throws Exception {
        if (!Stream.of("/usr/bin/strace", "/bin/strace").anyMatch(path -> Files.exists(Path.of(path)))) {
            say("SKIPPED the count of system calls: no strace");
            return;
        }
        for (int depth : List.of(1, 32)) {
            try (XenFrontend frontend = connect(Abi.X86_64, 1, 1, depth)) {
                BlockFrontend client = client(frontend, 0, depth, PAGE);
                for (String kind : List.of("read", "write", "mixed")) {
                    drive(client, kind, depth, 20 * depth);
                    SystemCalls calls = new SystemCalls(server);
                    drive(client, kind, depth, 100 * depth);
                    calls.stop();
                    say("%s, depth %d, %d requests: %s", kind, depth, 100 * depth, calls.tell(100 * depth));
                    check(calls.ioctlsPerTurn() <= 3.001, "more than 3 ioctls a turn");
                }
            }
        }
    }

    private static void drive(BlockFrontend client, String kind, int depth, int requests) throws Exception {
        List<CompletableFuture<Void>> lanes = new ArrayList<>();
        for (int lane = 0; lane < depth; lane++) {
            CompletableFuture<Void> ended = new CompletableFuture<>();
            lanes.add(ended);
            ByteBuf data = Unpooled.buffer(PAGE, PAGE);
            int slot = lane;
            client.channel().eventLoop().execute(() -> next(client, kind, slot, requests / depth, data, ended));
        }
        CompletableFuture.allOf(lanes.toArray(CompletableFuture[]::new)).get(200, TimeUnit.SECONDS);
    }

    private static void next(
            BlockFrontend client, String kind, int lane, int left, ByteBuf data, CompletableFuture<Void> ended) {
        if (left == 0) {
            ended.complete(null);
            return;
        }
        boolean isRead = kind.equals("read") || kind.equals("mixed") && ((lane + left) & 1) == 0;
        CompletableFuture<Void> request = isRead
                ? client.read((16 << 20) + lane * PAGE, data.clear())
                : client.write((16 << 20) + lane * PAGE, data.clear().writerIndex(PAGE));
        request.whenComplete((ok, failure) -> {
            if (failure != null) {
                ended.completeExceptionally(failure);
            } else {
                next(client, kind, lane, left - 1, data, ended);
            }
        });
    }

    // ---- leaks

    private static long count(Path file, String word) throws IOException {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.filter(line -> line.contains(word)).count();
        }
    }

    /** Returns what is in use, once it is as expected or has had time enough to become so. */
    private String settledUse(String expected) throws IOException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        String now = use();
        while (!expected.isEmpty() && !now.equals(expected) && System.nanoTime() < deadline) {
            LockSupport.parkNanos(100_000_000);
            now = use();
        }
        return now;
    }

    private String use() throws IOException {
        try (Stream<Path> fds = Files.list(Path.of("/proc/" + server + "/fd"))) {
            return String.format(
                    "%d descriptors of the server, %d mappings of grants, %d interrupts of evtchn, %d mappings of ours",
                    fds.count(),
                    count(Path.of("/proc/" + server + "/maps"), "/dev/xen/gntdev"),
                    count(Path.of("/proc/interrupts"), "evtchn"),
                    count(Path.of("/proc/self/maps"), "/dev/xen"));
        }
    }
}
