package io.blocktap.transport.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.LogCapture;
import io.blocktap.transport.LoopKind;
import io.blocktap.transport.TapException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.DefaultEventLoop;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.util.concurrent.BlockingOperationException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** The client against a xenstored that answers in any order, refuses, breaks the protocol and dies. */
@ParameterizedClass
@EnumSource
@Timeout(60)
class XenStoreTest {
    private static final XenStorePath NODE = XenStorePath.of("/a/node");
    private static final XenStoreConfig CONFIG = new XenStoreConfig(4, 8, 6, 10, 50);

    private final LoopKind kind;
    private final List<String> heard = new CopyOnWriteArrayList<>();
    private EventLoopGroup group;
    private EventLoop loop;
    private FakeXenstored server;
    private XenStore store;

    @TempDir
    private Path folder;

    XenStoreTest(LoopKind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() throws Exception {
        group = kind.newGroup(1);
        loop = group.next();
        server = new FakeXenstored(folder.resolve("socket"));
        CompletableFuture<XenStore> connecting = XenStore.connect(
                loop, XenStoreEndpoint.socket(folder.resolve("socket")), CONFIG, new XenStoreListener() {
                    @Override
                    public void disconnected(IOException cause) {
                        heard.add("disconnected: " + cause.getMessage());
                    }

                    @Override
                    public void reconnected() {
                        heard.add("reconnected");
                    }

                    @Override
                    public void ended(IOException cause) {
                        heard.add("ended: " + cause.getMessage());
                    }
                });
        server.accept();
        store = get(connecting);
    }

    @AfterEach
    void stop() throws Exception {
        if (store != null) {
            get(store.close());
            server.close();
        }
        LoopKind.end(group);
    }

    private static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(20, TimeUnit.SECONDS);
    }

    private static Throwable failure(CompletableFuture<?> future) throws Exception {
        try {
            return new AssertionError("it did not fail: " + get(future));
        } catch (ExecutionException e) {
            return e.getCause();
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Waits until the loop has done what was asked of it before. */
    private void settle() {
        loop.submit(() -> {}).syncUninterruptibly();
    }

    // ---- requests

    @Test
    void eachOperationHasItsPayload() throws Exception {
        var read = store.read(NODE);
        XsMessage request = server.take(XsWire.XS_READ, NODE);
        assertThat(request.txId()).isZero();
        server.reply(request, bytes("value"));
        assertThat(get(read)).isEqualTo("value");

        var write = store.write(NODE, "new");
        request = server.take();
        assertThat(request.type()).isEqualTo(XsWire.XS_WRITE);
        assertThat(request.payload()).isEqualTo(bytes("/a/node\0new"));
        server.ok(request);
        get(write);

        var list = store.list(NODE);
        server.reply(server.take(XsWire.XS_DIRECTORY, NODE), "one", "two");
        assertThat(get(list)).containsExactly("one", "two");

        var mkdir = store.mkdir(NODE);
        server.ok(server.take(XsWire.XS_MKDIR, NODE));
        get(mkdir);

        var remove = store.remove(NODE);
        server.ok(server.take(XsWire.XS_RM, NODE));
        get(remove);

        var permissions = store.getPermissions(NODE);
        server.reply(server.take(XsWire.XS_GET_PERMS, NODE), "n0", "r7");
        assertThat(get(permissions)).extracting(Object::toString).containsExactly("n0", "r7");

        var set = store.setPermissions(NODE, get(permissions));
        server.ok(server.take(XsWire.XS_SET_PERMS, NODE, "n0", "r7"));
        get(set);

        var path = store.domainPath(3);
        server.reply(server.take(XsWire.XS_GET_DOMAIN_PATH, 3), "/local/domain/3");
        assertThat(get(path)).hasToString("/local/domain/3");

        var introduced = store.isIntroduced(3);
        server.reply(server.take(XsWire.XS_IS_DOMAIN_INTRODUCED, 3), "F");
        assertThat(get(introduced)).isFalse();
    }

    @Test
    void refusalHasNameAndPath() throws Exception {
        var read = store.read(NODE);
        server.refuse(server.take(), "EACCES");

        assertThat(failure(read))
                .isInstanceOfSatisfying(XenStoreException.class, refused -> {
                    assertThat(refused.errorName()).isEqualTo(XenStoreException.EACCES);
                    assertThat(refused.path()).isEqualTo("/a/node");
                })
                .hasMessage("xenstore: READ /a/node: EACCES");
    }

    @Test
    void absentNodeIsEmptyOnlyForEnoent() throws Exception {
        var absent = store.readIfPresent(NODE);
        server.refuse(server.take(), "ENOENT");
        assertThat(get(absent)).isEmpty();

        var refused = store.readIfPresent(NODE);
        server.refuse(server.take(), "EACCES");
        assertThat(failure(refused)).isInstanceOf(XenStoreException.class);
    }

    @Test
    void repliesMayComeInAnyOrder() throws Exception {
        List<CompletableFuture<String>> reads = new ArrayList<>();
        List<XsMessage> requests = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            reads.add(store.read(NODE.child(i)));
            requests.add(server.take(XsWire.XS_READ, NODE.child(i)));
        }

        for (int i : new int[] {2, 0, 3, 1}) {
            server.reply(requests.get(i), bytes("value " + i));
        }

        for (int i = 0; i < 4; i++) {
            assertThat(get(reads.get(i))).isEqualTo("value " + i);
        }
    }

    @Test
    void noMoreThanTheLimitAreOnTheirWay() throws Exception {
        List<CompletableFuture<String>> reads = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            reads.add(store.read(NODE.child(i)));
        }
        List<XsMessage> taken = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            taken.add(server.take(XsWire.XS_READ, NODE.child(i)));
        }

        // Whatever is sent too early would come before this one's reply, and be taken instead of it.
        for (int i = 4; i < 10; i++) {
            server.reply(taken.remove(0), bytes(""));
            taken.add(server.take(XsWire.XS_READ, NODE.child(i)));
        }
        for (XsMessage each : taken) {
            server.reply(each, bytes(""));
        }
        get(CompletableFuture.allOf(reads.toArray(CompletableFuture[]::new)));
    }

    @Test
    void oneTooManyFailsClearly() throws Exception {
        List<CompletableFuture<String>> reads = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            reads.add(store.read(NODE));
        }

        assertThat(failure(store.read(NODE)))
                .isInstanceOf(TapException.class)
                .hasMessageEndingWith("READ /a/node refused, 4 requests are outstanding and 8 wait (maxQueued)");
        for (CompletableFuture<String> each : reads) {
            server.reply(server.take(), bytes(""));
            get(each);
        }
    }

    @Test
    void whatWouldCostTheConnectionIsNotSent() throws Exception {
        assertThat(failure(store.write(NODE, new byte[4096 - 7])))
                .isInstanceOf(XenStoreException.class)
                .hasMessage("xenstore: WRITE /a/node: E2BIG, 4097 bytes, at most 4096 go through "
                        + folder.resolve("socket"));
        var most = store.write(NODE, new byte[4096 - 8]);
        server.ok(server.take());
        get(most);
    }

    @Test
    void callbacksRunOnTheLoopAndMayNotWait() throws Exception {
        CompletableFuture<Throwable> seen = new CompletableFuture<>();
        loop.execute(() -> store.read(NODE).thenAccept(value -> {
            try {
                assertThat(loop.inEventLoop()).isTrue();
                store.read(NODE).join();
                seen.complete(new AssertionError("waited"));
            } catch (Throwable t) {
                seen.complete(t);
            }
        }));
        server.reply(server.take(), bytes(""));

        assertThat(get(seen)).isInstanceOf(BlockingOperationException.class);
    }

    // ---- big directories

    private static byte[] part(String text) {
        return bytes(text.replace('|', '\0'));
    }

    @Test
    void bigDirectoryComesInParts() throws Exception {
        var list = store.list(NODE);
        server.refuse(server.take(XsWire.XS_DIRECTORY, NODE), "E2BIG");
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 0), part("7|one|two|"));
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 8), part("7|three|"));
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 14), part("7|four||"));

        assertThat(get(list)).containsExactly("one", "two", "three", "four");
    }

    @Test
    void bigDirectoryMayEndWithAnEmptyPart() throws Exception {
        var list = store.list(NODE);
        server.refuse(server.take(), "E2BIG");
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 0), part("7|one|two|"));
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 8), part("7||"));

        assertThat(get(list)).containsExactly("one", "two");
    }

    @Test
    void directoryThatChangesIsListedAgain() throws Exception {
        var list = store.list(NODE);
        server.refuse(server.take(), "E2BIG");
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 0), part("7|one|two|"));
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 8), part("8|three|"));
        server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 0), part("8|two||"));

        assertThat(get(list)).containsExactly("two");
    }

    @Test
    void directoryThatAlwaysChangesIsGivenUp() throws Exception {
        var list = store.list(NODE);
        server.refuse(server.take(), "E2BIG");
        for (int i = 0; i < 16; i++) {
            server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 0), part("1" + i + "|one|two|"));
            server.reply(server.take(XsWire.XS_DIRECTORY_PART, NODE, 8), part("2" + i + "|three|"));
        }

        assertThat(failure(list)).hasMessageContaining("it changed each time it was listed, 16 times");
    }

    @Test
    void partWithoutNamesIsAnError() throws Exception {
        var list = store.list(NODE);
        server.refuse(server.take(), "E2BIG");
        server.reply(server.take(), part("7|"));

        assertThat(failure(list)).hasMessageContaining("a part without a name");
    }

    // ---- transactions

    @Test
    void transactionCarriesItsNumber() throws Exception {
        var result = store.transaction(tx -> tx.read(NODE).thenCompose(old -> tx.write(NODE, old + "!")));
        server.reply(server.take(XsWire.XS_TRANSACTION_START, ""), "42");
        XsMessage read = server.take(XsWire.XS_READ, NODE);
        server.reply(read, bytes("old"));
        XsMessage write = server.take();
        server.ok(write);
        XsMessage end = server.take(XsWire.XS_TRANSACTION_END, "T");
        assertThat(result.isDone()).isFalse();
        server.ok(end);

        get(result);
        assertThat(List.of(read.txId(), write.txId(), end.txId())).containsOnly(42);
        assertThat(write.payload()).isEqualTo(bytes("/a/node\0old!"));
    }

    @Test
    void transactionThatMetAnotherWriterIsDoneAgain() throws Exception {
        AtomicInteger bodies = new AtomicInteger();
        var result = store.transaction(tx -> {
            bodies.incrementAndGet();
            return tx.read(NODE);
        });
        for (int attempt = 1; attempt <= 5; attempt++) {
            server.reply(server.take(XsWire.XS_TRANSACTION_START, ""), attempt);
            server.reply(server.take(XsWire.XS_READ, NODE), bytes("value " + attempt));
            XsMessage end = server.take(XsWire.XS_TRANSACTION_END, "T");
            assertThat(end.txId()).isEqualTo(attempt);
            if (attempt < 5) {
                server.refuse(end, "EAGAIN");
            } else {
                server.ok(end);
            }
        }

        assertThat(get(result)).isEqualTo("value 5");
        assertThat(bodies).hasValue(5);
    }

    @Test
    void transactionIsNotDoneAgainForEver() throws Exception {
        var result = store.transaction(tx -> CompletableFuture.completedFuture("x"));
        for (int attempt = 1; attempt <= 6; attempt++) {
            server.reply(server.take(XsWire.XS_TRANSACTION_START, ""), attempt);
            server.refuse(server.take(XsWire.XS_TRANSACTION_END, "T"), "EAGAIN");
        }

        assertThat(failure(result))
                .isInstanceOf(XenStoreException.class)
                .hasMessage("xenstore: TRANSACTION_END: EAGAIN, met other writers 6 times");
    }

    @Test
    void transactionIsNotDoneAgainForAnotherRefusal() throws Exception {
        var result = store.transaction(tx -> CompletableFuture.completedFuture("x"));
        server.reply(server.take(), "1");
        server.refuse(server.take(XsWire.XS_TRANSACTION_END, "T"), "ENOSPC");

        assertThat(failure(result)).hasMessage("xenstore: TRANSACTION_END: ENOSPC");
    }

    @Test
    void failedBodyAbortsItsTransaction() throws Exception {
        var refused = store.transaction(tx -> tx.read(NODE));
        server.reply(server.take(), "1");
        server.refuse(server.take(), "EACCES");
        server.ok(server.take(XsWire.XS_TRANSACTION_END, "F"));
        assertThat(failure(refused)).hasMessage("xenstore: READ /a/node: EACCES");

        var threw = store.<String>transaction(tx -> {
            throw new IllegalStateException("mine");
        });
        server.reply(server.take(), "2");
        server.ok(server.take(XsWire.XS_TRANSACTION_END, "F"));
        assertThat(failure(threw)).isInstanceOf(IllegalStateException.class).hasMessage("mine");

        var nothing = store.<String>transaction(tx -> null);
        server.reply(server.take(), "3");
        server.ok(server.take(XsWire.XS_TRANSACTION_END, "F"));
        assertThat(failure(nothing)).isInstanceOf(NullPointerException.class);
    }

    @Test
    void endedTransactionIsOfNoUse() throws Exception {
        List<XenStoreTransaction> kept = new ArrayList<>();
        var result = store.transaction(tx -> {
            kept.add(tx);
            return CompletableFuture.completedFuture("x");
        });
        server.reply(server.take(), "1");
        server.ok(server.take(XsWire.XS_TRANSACTION_END, "T"));
        get(result);

        assertThat(failure(kept.get(0).read(NODE)))
                .hasMessage("xenstore: READ /a/node: its transaction has ended already");
    }

    @Test
    void transactionWithoutNumberIsNeverEnded() throws Exception {
        try (LogCapture log = new LogCapture()) {
            var result = store.transaction(tx -> tx.read(NODE));
            server.reply(server.take(), "0");

            assertThat(failure(result)).hasMessage("TRANSACTION_START was answered with 0");
            server.awaitEnd();
            await().until(() -> !heard.isEmpty());
            assertThat(log.lines()).hasSize(1);
        }
    }

    @Test
    void cancelledTransactionHasNoEffect() throws Exception {
        var early = store.transaction(tx -> tx.read(NODE));
        XsMessage start = server.take();
        early.cancel(false);
        server.reply(start, "1");
        server.ok(server.take(XsWire.XS_TRANSACTION_END, "F"));

        var late = store.transaction(tx -> tx.read(NODE));
        server.reply(server.take(), "2");
        XsMessage read = server.take(XsWire.XS_READ, NODE);
        late.cancel(false);
        server.reply(read, bytes(""));
        server.ok(server.take(XsWire.XS_TRANSACTION_END, "F"));
    }

    @Test
    void transactionMeetsTheConnectionsEnd() throws Exception {
        var result = store.transaction(tx -> tx.read(NODE));
        server.reply(server.take(), "1");
        server.take(XsWire.XS_READ, NODE);
        server.die();

        assertThat(failure(result))
                .isInstanceOf(TapException.class)
                .hasMessageContaining("READ /a/node: the connection");
    }

    // ---- watches

    private Watch watch(XenStorePath path, WatchListener listener, String token) throws Exception {
        var watching = store.watch(path, listener);
        server.ok(server.take(XsWire.XS_WATCH, path, token));
        return get(watching);
    }

    @Test
    void watchFiresUntilItIsClosed() throws Exception {
        List<XenStorePath> changed = new CopyOnWriteArrayList<>();
        Watch watch = watch(NODE, changed::add, "b1");
        server.fire(NODE, "b1");
        server.fire(NODE.child("x"), "b1");
        await().until(() -> changed.size() == 2);
        assertThat(changed).containsExactly(NODE, NODE.child("x"));

        var closed = watch.close();
        XsMessage unwatch = server.take(XsWire.XS_UNWATCH, NODE, "b1");
        server.fire(NODE, "b1");
        server.ok(unwatch);
        get(closed);
        get(watch.close());

        settle();
        assertThat(changed).hasSize(2);
    }

    @Test
    void watchesOnOnePathHaveTokensOfTheirOwn() throws Exception {
        List<String> changed = new CopyOnWriteArrayList<>();
        watch(NODE, path -> changed.add("one"), "b1");
        watch(NODE, path -> changed.add("two"), "b2");

        server.fire(NODE, "b2");
        await().until(() -> !changed.isEmpty());

        assertThat(changed).containsExactly("two");
    }

    @Test
    void eventBeforeTheReplyIsToldAfterIt() throws Exception {
        List<String> order = new CopyOnWriteArrayList<>();
        CompletableFuture<Watch> watching = new CompletableFuture<>();
        loop.execute(() -> store.watch(NODE, path -> order.add("fired")).thenAccept(watch -> {
            order.add("set");
            watching.complete(watch);
        }));
        XsMessage request = server.take();
        server.fire(NODE, "b1");
        server.ok(request);

        get(watching);
        await().until(() -> order.size() == 2);
        assertThat(order).containsExactly("set", "fired");
    }

    @Test
    void stormBecomesFewEvents() throws Exception {
        List<XenStorePath> changed = new CopyOnWriteArrayList<>();
        AtomicInteger last = new AtomicInteger();
        watch(NODE, changed::add, "b1");
        watch(XenStorePath.of("/last"), path -> last.incrementAndGet(), "b2");

        ByteBuf storm = Unpooled.buffer();
        for (int i = 0; i < 1000; i++) {
            XsWire.write(storm, new XsMessage(XsWire.XS_WATCH_EVENT, 0, 0, XsRequest.strings(NODE, "b1")));
        }
        server.send(storm.nioBuffer());
        server.fire("/last", "b2");
        await().until(() -> last.get() == 1);

        assertThat(changed).hasSizeBetween(1, 100).containsOnly(NODE);
    }

    @Test
    void tooManyPathsBecomeOneEventForTheWatchedPath() {
        List<XenStorePath> changed = new ArrayList<>();
        Watch watch = new Watch(store, NODE, "b1", changed::add);

        for (int i = 0; i <= Watch.MOST_PATHS; i++) {
            watch.fire(NODE.child(i));
        }
        watch.dispatch();
        assertThat(changed).containsExactly(NODE);

        watch.fire(NODE.child(1));
        watch.dispatch();
        assertThat(changed).containsExactly(NODE, NODE.child(1));
    }

    @Test
    void listenerThatThrowsHarmsNobody() throws Exception {
        try (LogCapture log = new LogCapture()) {
            List<XenStorePath> changed = new CopyOnWriteArrayList<>();
            watch(
                    NODE,
                    path -> {
                        throw new IllegalStateException("listener's own");
                    },
                    "b1");
            watch(NODE, changed::add, "b2");
            server.fire(NODE, "b1");
            server.fire(NODE, "b2");
            await().until(() -> !changed.isEmpty());

            assertThat(log.lines()).singleElement().asString().contains("listener's own");
        }
    }

    @Test
    void refusedWatchIsNoWatch() throws Exception {
        var watching = store.watch(NODE, path -> heard.add("fired"));
        XsMessage request = server.take();
        server.fire(NODE, "b1");
        server.refuse(request, "EACCES");

        assertThat(failure(watching)).hasMessage("xenstore: WATCH /a/node: EACCES");
        settle();
        assertThat(heard).isEmpty();
    }

    // ---- broken protocol

    private void endsConnection(String why, FailingServer doing) throws Exception {
        try (LogCapture log = new LogCapture()) {
            var read = store.read(NODE);
            doing.with(server.take());
            assertThat(failure(read)).isInstanceOf(TapException.class).hasMessageEndingWith(why);
            server.awaitEnd();
            await().until(() -> !heard.isEmpty()); // told after all that was outstanding has failed
            assertThat(heard.get(0)).startsWith("disconnected: ").contains(why);
            assertThat(log.lines()).singleElement().asString().contains(why);
        }
    }

    private interface FailingServer {
        void with(XsMessage request) throws IOException;
    }

    @Test
    void replyToNoRequestEndsConnection() throws Exception {
        endsConnection(
                "a reply to no request: READ req_id 4711 tx_id 0, 0 bytes",
                request -> server.send(new XsMessage(XsWire.XS_READ, 4711, 0, new byte[0])));
    }

    @Test
    void replyWithoutNumberEndsConnectionOfSocket() throws Exception {
        endsConnection(
                "a reply to no request: READ req_id 0 tx_id 0, 0 bytes",
                request -> server.send(new XsMessage(XsWire.XS_READ, 0, 0, new byte[0])));
    }

    @Test
    void replyOfAnotherTypeEndsConnection() throws Exception {
        endsConnection(
                "a reply to no request: WRITE req_id 1 tx_id 0, 3 bytes",
                request -> server.send(new XsMessage(XsWire.XS_WRITE, request.reqId(), 0, XsRequest.strings("OK"))));
    }

    @Test
    void eventWithoutTokenEndsConnection() throws Exception {
        endsConnection(
                "a watch event without path and token",
                request -> server.send(new XsMessage(XsWire.XS_WATCH_EVENT, 0, 0, XsRequest.strings("/a"))));
    }

    @Test
    void wrongLengthEndsConnection() throws Exception {
        endsConnection(
                "a message that says it has 4097 bytes (READ), at most 4096 are allowed: this is no xenstore",
                request -> server.send(ByteBuffer.allocate(16)
                        .order(ByteOrder.nativeOrder())
                        .putInt(XsWire.XS_READ)
                        .putInt(request.reqId())
                        .putInt(0)
                        .putInt(4097)
                        .flip()));
    }

    // ---- the connection's end

    @Test
    void endFailsAllAndWatchesAreSetAnew() throws Exception {
        List<XenStorePath> changed = new CopyOnWriteArrayList<>();
        try (LogCapture log = new LogCapture()) {
            watch(NODE, changed::add, "b1");
            Watch closed = watch(NODE.child("closed"), changed::add, "b2");
            List<CompletableFuture<?>> lost = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                lost.add(store.read(NODE));
            }
            lost.add(store.transaction(tx -> tx.read(NODE)));
            loop.submit(() -> {}).sync(); // by then all of them were handed to the connection
            server.take();

            server.die();

            for (CompletableFuture<?> each : lost) {
                assertThat(failure(each))
                        .isInstanceOf(TapException.class)
                        .hasMessageContaining("the connection has ended");
            }
            await().until(() -> heard.size() == 1);
            assertThat(heard.get(0)).startsWith("disconnected: ");
            assertThat(failure(store.read(NODE))).hasMessageEndingWith("READ /a/node: not connected at this moment");
            get(closed.close());
            assertThat(log.lines()).hasSize(1);

            server.listen();
            server.accept();
            XsMessage again = server.take(XsWire.XS_WATCH, NODE, "b1");
            assertThat(heard).hasSize(1);
            server.fire(NODE, "b1");
            server.ok(again);
            await().until(() -> heard.size() == 2 && changed.size() == 1);

            assertThat(heard.get(1)).isEqualTo("reconnected");
            assertThat(changed).containsExactly(NODE);
            var read = store.read(NODE);
            server.reply(server.take(XsWire.XS_READ, NODE), bytes("value"));
            assertThat(get(read)).isEqualTo("value");
        }
    }

    @Test
    void watchThatCanNotBeSetAnewIsTriedOnANewConnection() throws Exception {
        List<XenStorePath> changed = new CopyOnWriteArrayList<>();
        watch(NODE, changed::add, "b1");
        server.die();
        server.listen();
        server.accept();
        server.refuse(server.take(XsWire.XS_WATCH, NODE, "b1"), "ENOSPC");
        server.awaitEnd();

        server.accept();
        server.ok(server.take(XsWire.XS_WATCH, NODE, "b1"));
        server.fire(NODE, "b1");

        await().until(() -> changed.size() == 1);
        assertThat(heard).hasSize(2).last().isEqualTo("reconnected");
    }

    @Test
    void closeEndsReconnecting() throws Exception {
        server.die();
        await().until(() -> heard.size() == 1);
        get(store.close());

        assertThat(failure(store.read(NODE))).hasMessageEndingWith("READ /a/node: closed");
        assertThat(failure(store.watch(NODE, path -> {}))).hasMessageEndingWith("WATCH /a/node: closed");
        assertThat(heard).hasSize(1);
    }

    @Test
    void closeFailsWhatIsOutstanding() throws Exception {
        var read = store.read(NODE);
        server.take();
        get(store.close());

        assertThat(failure(read)).isInstanceOf(TapException.class);
        server.awaitEnd();
        get(store.close());
        assertThat(heard).isEmpty();
    }

    @Test
    void loopsEndIsTold() throws Exception {
        var read = store.read(NODE);
        server.take();
        LoopKind.end(group);

        assertThat(failure(read)).isInstanceOf(TapException.class);
        assertThat(heard).singleElement().asString().startsWith("ended: ");
        assertThat(failure(store.read(NODE))).hasMessageContaining("the event loop has ended");
        store = null;
        server.close();
    }

    @Test
    void firstConnectionIsTriedOnce() throws Exception {
        Path nowhere = folder.resolve("nowhere");

        assertThat(failure(XenStore.connect(loop, XenStoreEndpoint.socket(nowhere))))
                .isInstanceOf(TapException.class)
                .hasMessageStartingWith("xenstore at " + nowhere + ": can not be connected: ");
        assertThat(failure(XenStore.connect(loop, XenStoreEndpoint.device(nowhere))))
                .isInstanceOf(TapException.class)
                .hasMessage("xenstore at " + nowhere + ": can not be connected: open(" + nowhere
                        + "): ENOENT (no such file or directory)");
        DefaultEventLoop other = new DefaultEventLoop();
        assertThat(failure(XenStore.connect(other, XenStoreEndpoint.socket(nowhere))))
                .hasMessageContaining("an epoll event loop, or an io_uring one");
        other.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }

    @Test
    void connectionThatNobodyWaitsForIsClosed() throws Exception {
        XenStoreEndpoint endpoint = XenStoreEndpoint.socket(folder.resolve("socket"));
        loop.submit(() -> XenStore.connect(loop, endpoint).cancel(false)).sync();
        server.accept();

        server.awaitEnd();
    }

    @Test
    void refusesLimitsThatMakeNoSense() {
        assertThatThrownBy(() -> new XenStoreConfig(0, 1, 1, 1, 1)).hasMessage("maxOutstanding 0: at least 1");
        assertThatThrownBy(() -> new XenStoreConfig(1, 1, 1, 2, 1))
                .hasMessage("reconnectMaxMillis 1 is less than reconnectMinMillis 2");
    }
}
