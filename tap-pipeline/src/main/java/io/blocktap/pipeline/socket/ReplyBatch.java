package io.blocktap.pipeline.socket;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import org.jspecify.annotations.Nullable;

/**
 * The replies of one connection, collected in a {@link SendBatch}. The data of a small READ are a window with room for the reply's header before it, so they
 * are sent from where they were read to.
 *
 * <p>Threads: the connection's event loop.
 */
public final class ReplyBatch {
    /** Data up to this length are copied behind their header if they lie elsewhere. */
    private static final int COPY_BYTES = 1 << 10;

    /** A protocol's reply header. */
    public interface Layout {
        /** Returns its length. */
        int bytes();

        /**
         * Writes one.
         *
         * @param errno 0, or the protocol's error number
         * @param cookie the client's id of the request
         */
        void set(ByteBuf target, int index, int errno, long cookie);
    }

    private final SendBatch batch;
    private final Layout layout;

    ReplyBatch(SocketMemory memory, Layout layout) {
        this.batch = new SendBatch(memory, layout.bytes());
        this.layout = layout;
    }

    long unflushedBytes() {
        return batch.unflushedBytes();
    }

    SocketMemory.@Nullable Window tryOpenWindow(int length, int alignment) {
        return batch.tryOpenWindow(length, alignment);
    }

    /** Adds a reply without data. */
    void add(ChannelHandlerContext ctx, int errno, long cookie) {
        int index = batch.place(ctx, 0);
        layout.set(batch.placed(), index, errno, cookie);
    }

    /** Adds the reply to a successful READ whose data are in a window of this batch. The caller still owns the window. */
    void add(ChannelHandlerContext ctx, long cookie, SocketMemory.Window window) {
        int index = batch.placeBefore(ctx, window);
        layout.set(batch.placed(), index, 0, cookie);
    }

    /**
     * Adds the reply to a successful READ whose data are elsewhere.
     *
     * @param data from index 0 to its capacity; owned by this method
     */
    void add(ChannelHandlerContext ctx, long cookie, ByteBuf data) {
        int length = data.capacity();
        if (length <= COPY_BYTES) {
            int index = batch.place(ctx, length);
            layout.set(batch.placed(), index, 0, cookie);
            batch.placed().setBytes(index + layout.bytes(), data, 0, length);
            data.release();
            return;
        }
        add(ctx, 0, cookie);
        batch.addData(ctx, data.setIndex(0, length));
    }

    void give(ChannelHandlerContext ctx) {
        batch.give(ctx);
    }

    void flushed() {
        batch.flushed();
    }

    void close() {
        batch.close();
    }
}
