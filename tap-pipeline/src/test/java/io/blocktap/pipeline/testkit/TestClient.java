package io.blocktap.pipeline.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.Session;
import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A frontend of a test: one session with one stream of requests. Any thread, but not one of the event loops.
 *
 * <p>It fails the test (at the latest in {@link #check}) when a stage changes the data of a WRITE, leaves another buffer in a
 * request than it got, answers a request twice, or keeps a reference of a buffer.
 */
public final class TestClient {
    /** What READ buffers hold before they are filled, so that forgotten bytes are seen. */
    private static final byte UNFILLED = 0x5a;

    private static final long TIMEOUT_SECONDS = 30;

    private final Disk disk;
    private final EventLoop loop;
    private final RequestStream stream;
    private volatile BufferKind kind = BufferKind.SLAB;

    // Confined to the loop.
    private final Map<Long, Pending> pending = new HashMap<>();
    private final List<String> faults = new ArrayList<>();
    private final List<ByteBuf> used = new ArrayList<>();
    private long cookies;

    private record Pending(CompletableFuture<Reply> future, ByteBuf buffer, byte[] written) {}

    private TestClient(Disk disk, EventLoop loop) throws RefusedException {
        this.disk = disk;
        this.loop = loop;
        Session session = disk.connect("test", "test");
        this.stream = disk.openStream(session, loop, new RequestStream.Sink() {
            @Override
            public void answer(BlockResponse response) {
                answered(response);
            }

            @Override
            public void flush() {
                // each answer is shown at once
            }
        });
    }

    static TestClient connect(Disk disk, EventLoop loop) throws Exception {
        return loop.submit(() -> new TestClient(disk, loop)).get(TIMEOUT_SECONDS, TimeUnit.SECONDS);
    }

    /** Uses this kind of memory for the data of requests from now on; {@link BufferKind#SLAB} at first. */
    public TestClient using(BufferKind newKind) {
        kind = newKind;
        return this;
    }

    /** Returns the stream. */
    public RequestStream stream() {
        return stream;
    }

    // ---- one request

    /**
     * Sends a request.
     *
     * @param data for WRITE only, as long as the range; empty otherwise
     * @return completes with the answer
     */
    public CompletableFuture<Reply> send(BlockOp op, int flags, long offsetBytes, long lengthBytes, byte[] data) {
        CompletableFuture<Reply> future = new CompletableFuture<>();
        loop.execute(() -> {
            try {
                submit(future, op, flags, offsetBytes, lengthBytes, data);
            } catch (Throwable t) {
                future.completeExceptionally(t);
            }
        });
        return future;
    }

    private void submit(
            CompletableFuture<Reply> future, BlockOp op, int flags, long offsetBytes, long lengthBytes, byte[] data) {
        BlockRequest request = stream.newRequest().describe(op, flags, offsetBytes, lengthBytes);
        ByteBuf buffer = io.netty.buffer.Unpooled.EMPTY_BUFFER;
        if (op.hasData()) {
            buffer = kind.allocate(stream.memory(), (int) lengthBytes);
            if (op == BlockOp.WRITE) {
                buffer.setBytes(0, data).setIndex(0, (int) lengthBytes);
            } else {
                byte[] unfilled = new byte[(int) lengthBytes];
                Arrays.fill(unfilled, UNFILLED);
                buffer.setBytes(0, unfilled);
            }
            request.withData(buffer);
            if (kind != BufferKind.SLAB) {
                used.add(buffer);
            }
        }
        long cookie = ++cookies;
        pending.put(cookie, new Pending(future, buffer, data));
        stream.submit(request.withCookie(cookie, 0));
    }

    private void answered(BlockResponse response) {
        BlockRequest request = response.request();
        Pending its = pending.remove(request.cookie());
        if (its == null) {
            faults.add("answered twice: " + request);
            return;
        }
        byte[] read = new byte[0];
        if (request.op().hasData()) {
            if (request.data() != its.buffer) {
                faults.add("another buffer than it came with is in " + request);
            }
            byte[] now = new byte[request.dataLength()];
            request.data().getBytes(0, now);
            if (request.op() == BlockOp.WRITE && !Arrays.equals(now, its.written)) {
                faults.add("the frontend's data were changed by " + request);
            }
            if (request.op() == BlockOp.READ && response.status() == BlockStatus.OK) {
                read = now;
            }
        }
        its.future.complete(new Reply(request.toString(), response.status(), read));
    }

    /** Waits for an answer, at most half a minute. */
    public static <T> T await(CompletableFuture<T> future) {
        try {
            return future.get(TIMEOUT_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        } catch (java.util.concurrent.TimeoutException e) {
            throw new AssertionError("no answer within " + TIMEOUT_SECONDS + " seconds", e);
        } catch (java.util.concurrent.ExecutionException e) {
            throw new AssertionError("failed: " + e.getCause(), e.getCause());
        }
    }

    /** Sends a request and waits for its answer. */
    public Reply call(BlockOp op, int flags, long offsetBytes, long lengthBytes, byte[] data) {
        return await(send(op, flags, offsetBytes, lengthBytes, data));
    }

    /** Sends a request without data and waits for its answer; a READ's data are in the reply. */
    public Reply call(BlockOp op, long offsetBytes, long lengthBytes) {
        byte[] data = op == BlockOp.WRITE ? new byte[(int) lengthBytes] : new byte[0];
        return call(op, 0, offsetBytes, lengthBytes, data);
    }

    // ---- shorthands that must succeed

    /** Reads. */
    public byte[] read(long offsetBytes, int lengthBytes) {
        return call(BlockOp.READ, offsetBytes, lengthBytes).ok().data();
    }

    /** Writes. */
    public void write(long offsetBytes, byte[] data) {
        call(BlockOp.WRITE, 0, offsetBytes, data.length, data).ok();
    }

    /** Flushes. */
    public void flush() {
        call(BlockOp.FLUSH, 0, 0).ok();
    }

    /** Discards. */
    public void discard(long offsetBytes, long lengthBytes) {
        call(BlockOp.DISCARD, offsetBytes, lengthBytes).ok();
    }

    /** Writes zeroes. */
    public void zero(long offsetBytes, long lengthBytes) {
        call(BlockOp.WRITE_ZEROES, offsetBytes, lengthBytes).ok();
    }

    // ---- the end

    /** Fails the test if something was wrong with an answer, or a buffer is still held. After the last answer. */
    public void check() {
        List<String> found = await(CompletableFuture.supplyAsync(
                () -> {
                    List<String> all = new ArrayList<>(faults);
                    pending.values().forEach(each -> all.add("never answered: " + each));
                    used.stream()
                            .filter(buffer -> buffer.refCnt() != 0)
                            .forEach(buffer -> all.add("still held: " + buffer));
                    used.clear();
                    return all;
                },
                loop));
        assertThat(found).isEmpty();
    }

    void disconnect() {
        await(CompletableFuture.runAsync(() -> disk.closeStream(stream), loop));
    }
}
