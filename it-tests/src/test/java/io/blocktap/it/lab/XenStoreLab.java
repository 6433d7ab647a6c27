package io.blocktap.it.lab;

import io.blocktap.transport.xen.store.Watch;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenStoreException;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenStorePermission;
import io.netty.channel.EventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandler;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The xenstore client against a real xenstored: over its socket, over {@code /dev/xen/xenbus} and {@code /proc/xen/xenbus}, with {@code xenstore-write} of the
 * shell as the other party. Its arguments are a command whose effect is that a domain ends. Prints one line a check; exit code 1 if one fails.
 */
public final class XenStoreLab {
    private static final Path SOCKET = Path.of("/run/xenstored/socket");
    private static final Path DEVICE = Path.of("/dev/xen/xenbus");
    private static final Path OLD_DEVICE = Path.of("/proc/xen/xenbus");
    private static final int LIMIT_SECONDS = 60;
    private static final int CHILDREN = 300;
    private static final int INCREMENTS = 15;

    private final String label;
    private final XenStore store;
    private final XenStorePath top;
    private final int payloadMaxBytes;

    private XenStoreLab(String label, XenStore store, int payloadMaxBytes) {
        this.label = label;
        this.store = store;
        this.payloadMaxBytes = payloadMaxBytes;
        this.top = XenStorePath.of("/blocktap-it").child(label);
    }

    /** Runs all checks. */
    public static void main(String[] endDomain) throws Exception {
        System.out.println("found: " + XenStoreEndpoint.find());
        try (Loops epoll = new Loops(EpollIoHandler.newFactory())) {
            runOn(epoll, "epoll", endDomain);
        }
        if (IoUring.isAvailable()) {
            try (Loops uring = new Loops(IoUringIoHandler.newFactory())) {
                runOn(uring, "io_uring", new String[0]);
            }
        } else {
            System.out.println("skipped: io_uring: " + IoUring.unavailabilityCause());
        }
        check("no descriptor of the xenstore is left open", xenstoreFds() == 0);
        System.out.println("XENSTORE-OK");
    }

    private static final class Loops implements AutoCloseable {
        private final MultiThreadIoEventLoopGroup group;

        Loops(IoHandlerFactory factory) {
            group = new MultiThreadIoEventLoopGroup(1, factory);
        }

        EventLoop next() {
            return group.next();
        }

        @Override
        public void close() {
            group.shutdownGracefully(1, 10_000, TimeUnit.MILLISECONDS).syncUninterruptibly();
        }
    }

    private static void runOn(Loops loops, String loop, String[] endDomain) throws Exception {
        XenStoreLab socket = open(loops, "socket-" + loop, XenStoreEndpoint.socket(SOCKET), 4096);
        XenStoreLab device = open(loops, "device-" + loop, XenStoreEndpoint.device(DEVICE), 4080);
        socket.all();
        device.all();
        race(socket, device);
        if (endDomain.length > 0) {
            domainEnds(socket, device, endDomain);
        }
        XenStoreLab old = open(loops, "proc-" + loop, XenStoreEndpoint.device(OLD_DEVICE), 4080);
        old.asks();
        for (XenStoreLab each : List.of(socket, device, old)) {
            await(each.store.remove(each.top));
            await(each.store.close());
        }
    }

    private static XenStoreLab open(Loops loops, String label, XenStoreEndpoint endpoint, int payloadMaxBytes)
            throws Exception {
        return new XenStoreLab(label, await(XenStore.connect(loops.next(), endpoint)), payloadMaxBytes);
    }

    private void all() throws Exception {
        long from = System.nanoTime();
        asks();
        changesNodes();
        listsManyNames();
        keepsLimits();
        transactionIsDoneAgain();
        failedTransactionHasNoEffect();
        watches();
        manyRequests();
        System.out.printf("%s: all in %d ms%n", label, (System.nanoTime() - from) / 1_000_000);
    }

    // ---- checks

    private void asks() throws Exception {
        ok("reads a relative path", await(store.read(XenStorePath.of("domid"))).equals("0"));
        ok(
                "asks for a domain's path",
                await(store.domainPath(7)).equals(XenStorePath.of("/local/domain/7"))
                        && await(store.isIntroduced(0))
                        && !await(store.isIntroduced(999)));
    }

    private void changesNodes() throws Exception {
        XenStorePath node = top.child("node");
        await(store.write(node, "value"));
        ok("the shell reads what was written", shell("xenstore-read", node).equals("value"));
        byte[] bytes = {0, 1, -1, 0};
        await(store.write(node, bytes));
        ok("bytes come back", Arrays.equals(await(store.readBytes(node)), bytes));
        await(store.mkdir(top.child("made/below")));
        ok("lists", new TreeSet<>(await(store.list(top))).equals(new TreeSet<>(List.of("made", "node"))));
        ok("lists nothing", await(store.list(top.child("made/below"))).isEmpty());
        List<XenStorePermission> rights = List.of(
                new XenStorePermission(XenStorePermission.Access.NONE, 0),
                new XenStorePermission(XenStorePermission.Access.READ, 7));
        await(store.setPermissions(node, rights));
        ok("rights come back", await(store.getPermissions(node)).equals(rights));
        await(store.remove(node));
        ok("is gone", await(store.readIfPresent(node)).isEmpty());
        ok("refusal has name and path", refusal(store.read(node)).equals("ENOENT " + node));
        ok(
                "refuses to read a special name",
                refusal(store.read(XenStorePath.RELEASE_DOMAIN)).startsWith("EINVAL"));
    }

    private void listsManyNames() throws Exception {
        XenStorePath big = top.child("big");
        List<String> names = IntStream.range(0, CHILDREN)
                .mapToObj(i -> "a-name-of-about-forty-characters-" + (10_000 + i))
                .toList();
        await(store.transaction(tx -> CompletableFuture.allOf(
                names.stream().map(name -> tx.write(big.child(name), "")).toArray(CompletableFuture[]::new))));
        List<String> listed = await(store.list(big));
        ok(
                "lists " + listed.size() + " names of "
                        + String.join("0", listed).length() + " bytes",
                listed.size() == CHILDREN && new TreeSet<>(listed).equals(new TreeSet<>(names)));
    }

    private void keepsLimits() throws Exception {
        XenStorePath node = top.child("most");
        byte[] most = new byte[payloadMaxBytes - node.toString().length() - 1];
        String refused = refusal(store.write(node, new byte[most.length + 1]));
        ok("refuses one byte too many: " + refused, refused.equals("E2BIG " + node));
        // Dom0 may write it; the quota of 2048 bytes is for others.
        await(store.write(node, most));
        ok("writes " + payloadMaxBytes + " bytes of payload", await(store.readBytes(node)).length == most.length);
    }

    private void transactionIsDoneAgain() throws Exception {
        XenStorePath counter = top.child("counter");
        await(store.write(counter, "1"));
        AtomicInteger attempts = new AtomicInteger();
        String result = await(store.transaction(tx -> tx.read(counter).thenCompose(value -> {
            CompletableFuture<?> other = attempts.incrementAndGet() <= 2
                    ? CompletableFuture.runAsync(() -> shell("xenstore-write", counter, 10 * attempts.get()))
                    : CompletableFuture.completedFuture(null);
            String next = Integer.toString(Integer.parseInt(value) + 1);
            return other.thenCompose(done -> tx.write(counter, next)).thenApply(done -> next);
        })));
        ok(
                "transaction met the shell twice and was done " + attempts + " times",
                attempts.get() == 3
                        && result.equals("21")
                        && shell("xenstore-read", counter).equals("21"));
    }

    private void failedTransactionHasNoEffect() throws Exception {
        XenStorePath counter = top.child("counter");
        try {
            await(store.transaction(tx -> tx.write(counter, "bad").thenCompose(done -> {
                throw new IllegalStateException("changed my mind");
            })));
            ok("body's failure is told", false);
        } catch (ExecutionException e) {
            ok("body's failure is told", e.getCause() instanceof IllegalStateException);
        }
        ok("it had no effect", await(store.read(counter)).equals("21"));
    }

    private void watches() throws Exception {
        XenStorePath watched = top.child("watched");
        await(store.mkdir(watched));
        LinkedBlockingQueue<XenStorePath> heard = new LinkedBlockingQueue<>();
        Watch watch = await(store.watch(watched, heard::add));
        ok("fires once at the beginning", take(heard).equals(watched));
        shell("xenstore-write", watched.child("a"), 1);
        ok("fires for what is below", take(heard).equals(watched.child("a")));
        Object[] storm = Stream.concat(
                        Stream.of("xenstore-write"),
                        IntStream.range(0, 100).boxed().flatMap(i -> Stream.of(watched.child("s" + i), i)))
                .toArray();
        shell(storm);
        XenStorePath last = watched.child("end");
        shell("xenstore-write", last, 1);
        int events = 0;
        while (!take(heard).equals(last)) {
            events++;
        }
        ok("100 writes by another were " + events + " events", events >= 1 && events <= 100);
        shell("xenstore-rm", top.child("watched"));
        ok("fires for the removal", take(heard).isAtOrBelow(watched));
        await(watch.close());
        heard.clear();
        shell("xenstore-write", watched.child("b"), 1);
        await(store.read(watched.child("b")));
        ok("is silent once it is closed", heard.isEmpty());
    }

    private void manyRequests() throws Exception {
        XenStorePath node = top.child("counter");
        int count = 500;
        long from = System.nanoTime();
        List<CompletableFuture<String>> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            all.add(store.read(node));
        }
        for (CompletableFuture<String> each : all) {
            await(each);
        }
        ok(count + " reads at once, " + (System.nanoTime() - from) / 1000 / count + " us each", true);
    }

    /** Both clients count up one number; xenstored refuses whoever met the other. */
    private static void race(XenStoreLab one, XenStoreLab two) throws Exception {
        XenStorePath counter = one.top.child("race");
        await(one.store.write(counter, "0"));
        AtomicInteger attempts = new AtomicInteger();
        CompletableFuture<Void> first = one.countUp(counter, attempts, INCREMENTS);
        CompletableFuture<Void> second = two.countUp(counter, attempts, INCREMENTS);
        await(first);
        await(second);
        String value = await(one.store.read(counter));
        check(
                one.label + " and " + two.label + " counted to " + value + " in " + attempts + " attempts",
                value.equals(Integer.toString(2 * INCREMENTS)));
    }

    private CompletableFuture<Void> countUp(XenStorePath counter, AtomicInteger attempts, int times) {
        if (times == 0) {
            return CompletableFuture.completedFuture(null);
        }
        return store.transaction(tx -> {
                    attempts.incrementAndGet();
                    return tx.read(counter)
                            .thenCompose(value -> tx.write(counter, Integer.toString(Integer.parseInt(value) + 1)));
                })
                .thenCompose(done -> countUp(counter, attempts, times - 1));
    }

    private static void domainEnds(XenStoreLab one, XenStoreLab two, String[] command) throws Exception {
        LinkedBlockingQueue<XenStorePath> first = new LinkedBlockingQueue<>();
        LinkedBlockingQueue<XenStorePath> second = new LinkedBlockingQueue<>();
        await(one.store.watch(XenStorePath.RELEASE_DOMAIN, first::add));
        await(two.store.watch(XenStorePath.RELEASE_DOMAIN, second::add));
        take(first);
        take(second);
        shell((Object[]) command);
        check(one.label + ": hears that a domain ended: " + take(first), true);
        check(two.label + ": hears that a domain ended: " + take(second), true);
    }

    // ---- helpers

    private void ok(String what, boolean holds) {
        check(label + ": " + what, holds);
    }

    private static void check(String what, boolean holds) {
        System.out.println((holds ? "ok   " : "FAIL ") + what);
        if (!holds) {
            System.exit(1);
        }
    }

    private static <T> T await(CompletableFuture<T> future) throws Exception {
        return future.get(LIMIT_SECONDS, TimeUnit.SECONDS);
    }

    private static XenStorePath take(LinkedBlockingQueue<XenStorePath> heard) throws InterruptedException {
        XenStorePath path = heard.poll(LIMIT_SECONDS, TimeUnit.SECONDS);
        if (path == null) {
            throw new IllegalStateException("no event within " + LIMIT_SECONDS + " s");
        }
        return path;
    }

    private static String refusal(CompletableFuture<?> future) throws Exception {
        try {
            await(future);
            return "no refusal";
        } catch (ExecutionException e) {
            return e.getCause() instanceof XenStoreException refused
                    ? refused.errorName() + " " + refused.path()
                    : e.getCause().toString();
        }
    }

    private static String shell(Object... words) {
        try {
            Process process = new ProcessBuilder(
                            Arrays.stream(words).map(Object::toString).toList())
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            int exitCode = process.waitFor();
            if (exitCode != 0) {
                throw new IllegalStateException(words[0] + ": exit code " + exitCode);
            }
            return out.strip();
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static long xenstoreFds() throws Exception {
        for (int i = 0; ; i++) {
            long count = countXenstoreFds();
            if (count == 0 || i == 100) {
                return count; // the device is closed by a thread of its own
            }
            Thread.sleep(50);
        }
    }

    private static long countXenstoreFds() throws IOException {
        try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"))) {
            return fds.filter(fd -> {
                        try {
                            return Files.readSymbolicLink(fd).endsWith("xenbus");
                        } catch (IOException e) {
                            return false; // closed meanwhile
                        }
                    })
                    .count();
        }
    }
}
