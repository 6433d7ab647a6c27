package io.blocktap.transport.xen.store;

import io.blocktap.transport.TapException;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** Begins, runs and ends a transaction, and does so again as long as it meets other writers. On the loop. */
final class TransactionRun<T> {
    /** The first attempts follow at once: mostly the other writer is done by then. */
    private static final int ATTEMPTS_AT_ONCE = 3;

    private static final int MOST_PAUSE_MILLIS = 64;

    private final XenStore store;
    private final Function<XenStoreTransaction, ? extends CompletableFuture<T>> body;
    private final LoopFuture<T> result;
    private int attempts;

    TransactionRun(
            XenStore store, Function<XenStoreTransaction, ? extends CompletableFuture<T>> body, LoopFuture<T> result) {
        this.store = store;
        this.body = body;
        this.result = result;
    }

    void begin() {
        if (result.isDone()) {
            return; // cancelled between two attempts
        }
        attempts++;
        XsRequest start = new XsRequest(store.loop(), XsWire.XS_TRANSACTION_START, 0, "", XsRequest.NOTHING);
        XsConnection connection = store.submit(start);
        start.reply.whenComplete((reply, failure) -> {
            if (failure != null || connection == null) {
                fail(failure);
                return;
            }
            try {
                run(new XenStoreTransaction(store, connection, parseId(reply.text())));
            } catch (TapException e) {
                connection.end(e);
                fail(e);
            }
        });
    }

    private static int parseId(String text) throws TapException {
        try {
            int id = Integer.parseUnsignedInt(text);
            if (id != 0) {
                return id;
            }
        } catch (NumberFormatException e) {
            throw new TapException("TRANSACTION_START was answered with no number", e);
        }
        throw new TapException("TRANSACTION_START was answered with 0");
    }

    private void run(XenStoreTransaction transaction) {
        if (result.isDone()) {
            transaction.end("F"); // cancelled, or timed out
            return;
        }
        CompletableFuture<T> done;
        try {
            done = Objects.requireNonNull(body.apply(transaction), "the transaction's body returned null");
        } catch (RuntimeException | Error e) {
            done = CompletableFuture.failedFuture(e);
        }
        done.whenComplete((value, failure) -> store.onLoop(result, () -> {
            if (result.isDone()) {
                transaction.end("F");
            } else if (failure == null) {
                commit(transaction, value);
            } else {
                abort(transaction, LoopFuture.unwrap(failure));
            }
        }));
    }

    private void commit(XenStoreTransaction transaction, T value) {
        transaction.end("T").whenComplete((ok, failure) -> {
            if (failure == null) {
                result.complete(value);
            } else {
                againOrFail(failure);
            }
        });
    }

    /** The body's failure is the one that counts; if ending fails as well, there is no connection any more. */
    private void abort(XenStoreTransaction transaction, Throwable failure) {
        transaction.end("F").whenComplete((ok, ignored) -> againOrFail(failure));
    }

    private void againOrFail(Throwable failure) {
        if (!XenStoreException.is(failure, XenStoreException.EAGAIN)) {
            fail(failure);
        } else if (attempts >= store.config().maxTransactionAttempts()) {
            fail(new XenStoreException(
                    "TRANSACTION_END", "", XenStoreException.EAGAIN, ", met other writers " + attempts + " times"));
        } else if (attempts <= ATTEMPTS_AT_ONCE) {
            begin();
        } else {
            int pauseMillis = Math.min(MOST_PAUSE_MILLIS, 1 << Math.min(attempts - ATTEMPTS_AT_ONCE, 16));
            try {
                store.loop().schedule(this::begin, pauseMillis, TimeUnit.MILLISECONDS);
            } catch (RejectedExecutionException e) {
                fail(new TapException("xenstore: TRANSACTION_END: the event loop has ended", e));
            }
        }
    }

    private void fail(Throwable failure) {
        result.completeExceptionally(LoopFuture.unwrap(failure));
    }
}
