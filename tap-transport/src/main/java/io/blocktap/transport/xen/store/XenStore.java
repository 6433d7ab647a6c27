package io.blocktap.transport.xen.store;

import io.blocktap.transport.Printable;
import io.netty.channel.EventLoop;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A connection to xenstored, asynchronous and in order.
 *
 * <p>Requests are sent in the order in which they come, as many at a time as the connection can have without an answer; further ones wait here, at most {@link #MAX_WAITING}. Watches are
 * this object's: each has a token of its own, so one node may be watched several times. An event says only that something may have changed: read again. The end of the
 * connection fails all that is outstanding, and completes {@link #closed()}.
 *
 * <p>Threads: the event loop.
 */
public final class XenStore implements XenStoreView, AutoCloseable {
    /** Most requests that wait for their turn. */
    public static final int MAX_WAITING = 65536;

    private static final Logger LOG = LoggerFactory.getLogger(XenStore.class);
    private static final Charset CHARSET = StandardCharsets.ISO_8859_1;
    private static final int TRANSACTION_TRIES = 100;
    private static final int MAX_PATH = 3072;

    private final EventLoop loop;
    private final XenStoreDevice device;
    private final XsParser parser = new XsParser(this::received);
    private final Map<Integer, Request> outstanding = new HashMap<>();
    private final ArrayDeque<Request> waiting = new ArrayDeque<>();
    private final Map<String, Watch> watches = new HashMap<>();
    private final CompletableFuture<Void> closed = new CompletableFuture<>();
    private int lastRequest;
    private int lastToken;
    private boolean isClosed;

    private record Request(int type, int transaction, byte[] payload, String what, CompletableFuture<byte[]> answer) {}

    /** A watch that was set; {@link #close} ends it. */
    public final class Watch implements AutoCloseable {
        private final String path;
        private final String token;
        private final Consumer<String> listener;

        private Watch(String path, String token, Consumer<String> listener) {
            this.path = path;
            this.token = token;
            this.listener = listener;
        }

        /** Ends the watch: its listener is not called any more. */
        @Override
        public void close() {
            if (watches.remove(token) != null && !isClosed) {
                request(XsWire.XS_UNWATCH, 0, join(path, token), "unwatch " + path);
            }
        }
    }

    XenStore(EventLoop loop, XenStoreDevice device) {
        this.loop = loop;
        this.device = device;
    }

    /**
     * Connects, through {@code /dev/xen/xenbus}.
     *
     * @return completes on the loop; fails with a {@link io.blocktap.transport.TapException} that says what is missing
     */
    public static CompletableFuture<XenStore> open(EventLoop loop) {
        return XenStoreDevice.open(loop);
    }

    /** Completes when the connection has ended: normally after {@link #close}, else with the reason. */
    public CompletableFuture<Void> closed() {
        return closed;
    }

    /** Returns what a future of this package really failed with. */
    public static Throwable causeOf(Throwable failure) {
        return failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
    }

    // ---- the tree

    @Override
    public CompletableFuture<String> read(String path) {
        return read(0, path);
    }

    @Override
    public CompletableFuture<List<String>> list(String path) {
        return list(0, path);
    }

    @Override
    public CompletableFuture<Void> write(String path, String value) {
        return write(0, path, value);
    }

    @Override
    public CompletableFuture<Void> makeDirectory(String path) {
        return simple(XsWire.XS_MKDIR, 0, path);
    }

    @Override
    public CompletableFuture<Void> remove(String path) {
        return simple(XsWire.XS_RM, 0, path);
    }

    @Override
    public CompletableFuture<Void> setPermissions(String path, List<String> permissions) {
        return setPermissions(0, path, permissions);
    }

    private CompletableFuture<String> read(int transaction, String path) {
        return request(XsWire.XS_READ, transaction, join(path), "read " + path)
                .thenApply(value -> new String(value, CHARSET));
    }

    private CompletableFuture<List<String>> list(int transaction, String path) {
        return request(XsWire.XS_DIRECTORY, transaction, join(path), "list " + path)
                .handle((names, failure) -> {
                    if (failure == null) {
                        return CompletableFuture.completedFuture(split(names, 0));
                    }
                    Throwable cause = causeOf(failure);
                    return cause instanceof XenStoreException e && e.error().equals("E2BIG")
                            ? listInParts(transaction, path, "", new StringBuilder())
                            : CompletableFuture.<List<String>>failedFuture(cause);
                })
                .thenCompose(result -> result);
    }

    /** Each part begins with the directory's generation; if that changes in between, it is listed anew. */
    private CompletableFuture<List<String>> listInParts(
            int transaction, String path, String generation, StringBuilder names) {
        return request(
                        XsWire.XS_DIRECTORY_PART,
                        transaction,
                        join(path, Integer.toString(names.length())),
                        "list " + path)
                .thenCompose(part -> {
                    String text = new String(part, CHARSET);
                    int end = text.indexOf('\0');
                    String now = end < 0 ? text : text.substring(0, end);
                    if (!generation.isEmpty() && !now.equals(generation)) {
                        return listInParts(transaction, path, "", new StringBuilder());
                    }
                    String rest = end < 0 ? "" : text.substring(end + 1);
                    boolean isLast = rest.isEmpty() || rest.endsWith("\0\0") || rest.equals("\0");
                    names.append(rest);
                    return isLast
                            ? CompletableFuture.completedFuture(
                                    split(names.toString().getBytes(CHARSET), 0))
                            : listInParts(transaction, path, now, names);
                });
    }

    private CompletableFuture<Void> write(int transaction, String path, String value) {
        byte[] head = join(path);
        byte[] body = value.getBytes(CHARSET);
        byte[] payload = java.util.Arrays.copyOf(head, head.length + body.length);
        System.arraycopy(body, 0, payload, head.length, body.length);
        return request(XsWire.XS_WRITE, transaction, payload, "write " + path).thenApply(ok -> null);
    }

    private CompletableFuture<Void> simple(int type, int transaction, String path) {
        return request(type, transaction, join(path), (type == XsWire.XS_RM ? "remove " : "make ") + path)
                .thenApply(ok -> null);
    }

    private CompletableFuture<Void> setPermissions(int transaction, String path, List<String> permissions) {
        List<String> words = new ArrayList<>(permissions);
        words.add(0, path);
        return request(
                        XsWire.XS_SET_PERMS,
                        transaction,
                        join(words.toArray(String[]::new)),
                        "set the permissions of " + path)
                .thenApply(ok -> null);
    }

    // ---- transactions

    /**
     * Does several things at once, for all others; done over when it meets another transaction, so the body must do nothing that cannot be done twice.
     *
     * @param body begins the work and returns when it is done; must use only what it is given
     */
    public <T> CompletableFuture<T> transaction(Function<XenStoreView, CompletableFuture<T>> body) {
        return transaction(body, 1);
    }

    private <T> CompletableFuture<T> transaction(Function<XenStoreView, CompletableFuture<T>> body, int attempt) {
        return request(XsWire.XS_TRANSACTION_START, 0, join(""), "begin a transaction")
                .thenCompose(id -> {
                    Transaction transaction = new Transaction(number(id));
                    CompletableFuture<T> work;
                    try {
                        work = body.apply(transaction);
                    } catch (RuntimeException e) {
                        work = CompletableFuture.failedFuture(e);
                    }
                    return work.handle((value, failure) -> end(transaction.id, value, failure))
                            .thenCompose(ended -> ended);
                })
                .handle((value, failure) -> {
                    if (failure == null) {
                        return CompletableFuture.completedFuture(value);
                    }
                    Throwable cause = causeOf(failure);
                    return cause instanceof XenStoreException e && e.isConflict() && attempt < TRANSACTION_TRIES
                            ? transaction(body, attempt + 1)
                            : CompletableFuture.<T>failedFuture(cause);
                })
                .thenCompose(result -> result);
    }

    private <T> CompletableFuture<T> end(int id, T value, @Nullable Throwable failure) {
        return request(XsWire.XS_TRANSACTION_END, id, join(failure == null ? "T" : "F"), "end a transaction")
                .handle((ok, notEnded) -> {
                    Throwable first = failure != null ? failure : notEnded;
                    return first == null
                            ? CompletableFuture.completedFuture(value)
                            : CompletableFuture.<T>failedFuture(causeOf(first));
                })
                .thenCompose(result -> result);
    }

    private static int number(byte[] id) {
        String text = split(id, 0).get(0);
        int number = Integer.parseUnsignedInt(text);
        if (number == 0) {
            // Sent back, it would mean "no transaction"; the device would never answer.
            throw new IllegalStateException("xenstored began a transaction without a number");
        }
        return number;
    }

    private final class Transaction implements XenStoreView {
        private final int id;

        Transaction(int id) {
            this.id = id;
        }

        @Override
        public CompletableFuture<String> read(String path) {
            return XenStore.this.read(id, path);
        }

        @Override
        public CompletableFuture<List<String>> list(String path) {
            return XenStore.this.list(id, path);
        }

        @Override
        public CompletableFuture<Void> write(String path, String value) {
            return XenStore.this.write(id, path, value);
        }

        @Override
        public CompletableFuture<Void> makeDirectory(String path) {
            return simple(XsWire.XS_MKDIR, id, path);
        }

        @Override
        public CompletableFuture<Void> remove(String path) {
            return simple(XsWire.XS_RM, id, path);
        }

        @Override
        public CompletableFuture<Void> setPermissions(String path, List<String> permissions) {
            return XenStore.this.setPermissions(id, path, permissions);
        }
    }

    // ---- watches

    /**
     * Watches a node and all below it; the node need not be there.
     *
     * @param listener hears the path that changed, also once at the beginning, and now and then though nothing did
     * @return completes when the watch is set
     */
    public CompletableFuture<Watch> watch(String path, Consumer<String> listener) {
        Watch watch = new Watch(path, "blocktap-" + ++lastToken, listener);
        watches.put(watch.token, watch);
        return request(XsWire.XS_WATCH, 0, join(path, watch.token), "watch " + path)
                .whenComplete((ok, failure) -> {
                    if (failure != null) {
                        watches.remove(watch.token);
                    }
                })
                .thenApply(ok -> watch);
    }

    private void event(byte[] payload) {
        List<String> words = split(payload, 0);
        Watch watch = words.size() < 2 ? null : watches.get(words.get(1));
        if (watch != null) {
            try {
                watch.listener.accept(words.get(0));
            } catch (RuntimeException e) {
                LOG.error("a listener failed on the change of {}", Printable.of(words.get(0)), e);
            }
        }
    }

    // ---- requests and answers

    private CompletableFuture<byte[]> request(int type, int transaction, byte[] payload, String what) {
        assert loop.inEventLoop();
        CompletableFuture<byte[]> answer = new CompletableFuture<>();
        Request request = new Request(type, transaction, payload, what, answer);
        if (isClosed) {
            fail(request, XenStoreException.CONNECTION, "the connection is closed");
        } else if (payload.length > XsWire.DEVICE_MESSAGE_MAX - XsWire.HEADER_BYTES) {
            fail(request, "E2BIG", "too long: " + payload.length + " bytes");
        } else if (waiting.size() >= MAX_WAITING) {
            fail(request, "EBUSY", MAX_WAITING + " requests are waiting for xenstored already");
        } else {
            waiting.add(request);
            sendWaiting();
        }
        return answer;
    }

    private void sendWaiting() {
        while (!isClosed && outstanding.size() < XenStoreDevice.MAX_OUTSTANDING && !waiting.isEmpty()) {
            Request next = waiting.peek();
            int id = ++lastRequest;
            outstanding.put(id, next); // first: the device may answer at once
            int errno = device.send(next.type, id, next.transaction, next.payload);
            if (errno == XenStoreDevice.LATER) {
                outstanding.remove(id);
                return;
            }
            waiting.remove();
            if (errno != 0) {
                outstanding.remove(id);
                fail(next, XenStoreDevice.errorName(errno), "refused by the device");
            }
        }
    }

    private static void fail(Request request, String error, String reason) {
        request.answer.completeExceptionally(
                new XenStoreException(error, "xenstore: " + Printable.of(request.what) + ": " + error + ", " + reason));
    }

    private void received(int type, int requestId, byte[] payload) {
        if (type == XsWire.XS_WATCH_EVENT) {
            event(payload);
            return;
        }
        Request request = outstanding.remove(requestId);
        if (request == null) {
            LOG.warn("xenstore: an answer to no request of ours, number {}", requestId);
            return;
        }
        if (type == XsWire.XS_ERROR) {
            String error = split(payload, 0).stream().findFirst().orElse("EIO");
            request.answer.completeExceptionally(new XenStoreException(
                    error, "xenstore: " + Printable.of(request.what) + ": " + Printable.of(error)));
        } else {
            request.answer.complete(payload);
        }
        sendWaiting();
    }

    // ---- for the device

    XsParser parser() {
        return parser;
    }

    void writable() {
        sendWaiting();
    }

    /** The connection is gone. */
    void lost(String reason) {
        end(new XenStoreException(XenStoreException.CONNECTION, "xenstore: " + reason));
    }

    private void end(@Nullable XenStoreException reason) {
        if (isClosed) {
            return;
        }
        isClosed = true;
        device.close();
        List<Request> unanswered = new ArrayList<>(outstanding.values());
        unanswered.addAll(waiting);
        outstanding.clear();
        waiting.clear();
        watches.clear();
        unanswered.forEach(request -> fail(request, XenStoreException.CONNECTION, "the connection is closed"));
        if (reason == null) {
            closed.complete(null);
        } else {
            closed.completeExceptionally(reason);
        }
    }

    /** Ends the connection; its watches and open transactions end with it. */
    @Override
    public void close() {
        end(null);
    }

    // ---- text

    private static byte[] join(String... words) {
        if (words[0].length() > MAX_PATH) {
            throw new IllegalArgumentException("a path of " + words[0].length() + " characters");
        }
        StringBuilder text = new StringBuilder();
        for (String word : words) {
            if (word.indexOf('\0') >= 0) {
                throw new IllegalArgumentException("a zero byte in " + Printable.of(word));
            }
            text.append(word).append('\0');
        }
        return text.toString().getBytes(CHARSET);
    }

    private static List<String> split(byte[] payload, int from) {
        List<String> words = new ArrayList<>();
        int start = from;
        for (int i = from; i < payload.length; i++) {
            if (payload[i] == 0) {
                if (i > start) {
                    words.add(new String(payload, start, i - start, CHARSET));
                }
                start = i + 1;
            }
        }
        if (start < payload.length) {
            words.add(new String(payload, start, payload.length - start, CHARSET));
        }
        return words;
    }
}
