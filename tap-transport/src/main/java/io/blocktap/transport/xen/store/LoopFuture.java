package io.blocktap.transport.xen.store;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.BlockingOperationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A future that is completed on an event loop, runs its {@code ...Async} stages there, and refuses to be waited for there. */
final class LoopFuture<T> extends CompletableFuture<T> {
    private final EventLoop loop;

    LoopFuture(EventLoop loop) {
        this.loop = loop;
    }

    static <T> LoopFuture<T> failed(EventLoop loop, Throwable cause) {
        LoopFuture<T> future = new LoopFuture<>(loop);
        future.completeExceptionally(cause);
        return future;
    }

    /** Returns the failure itself: stages further down get it wrapped. */
    static Throwable unwrap(Throwable failure) {
        Throwable cause = failure.getCause();
        return cause != null && (failure instanceof CompletionException || failure instanceof ExecutionException)
                ? unwrap(cause)
                : failure;
    }

    @Override
    public <U> CompletableFuture<U> newIncompleteFuture() {
        return new LoopFuture<>(loop);
    }

    @Override
    public Executor defaultExecutor() {
        return loop;
    }

    private void checkMayWait() {
        if (!isDone() && loop.inEventLoop()) {
            throw new BlockingOperationException("the event loop would wait for itself; use whenComplete");
        }
    }

    @Override
    public T get() throws InterruptedException, ExecutionException {
        checkMayWait();
        return super.get();
    }

    @Override
    public T get(long timeout, TimeUnit unit) throws InterruptedException, ExecutionException, TimeoutException {
        checkMayWait();
        return super.get(timeout, unit);
    }

    @Override
    public T join() {
        checkMayWait();
        return super.join();
    }
}
