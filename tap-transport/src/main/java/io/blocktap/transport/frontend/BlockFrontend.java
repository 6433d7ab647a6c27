package io.blocktap.transport.frontend;

import io.blocktap.transport.ring.Blkif;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFuture;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;

/**
 * A small asynchronous block client over one ring: read, write, flush, discard.
 *
 * <p>Transfers of any length are split as the ring needs, and copied through its data pages. For the last bit of speed issue {@link FrontRequest}s on {@link
 * #channel()} yourself. Offsets and lengths are multiples of 512 bytes.
 *
 * <p>Any thread; futures complete on the frontend's event loop.
 */
public class BlockFrontend implements AutoCloseable {
    private final FrontChannel channel;
    private final int pieceBytes;
    private final ArrayDeque<FrontRequest> free = new ArrayDeque<>();
    private final ArrayDeque<Piece> waiting = new ArrayDeque<>();
    private boolean publishScheduled;

    /**
     * Makes a client of a connected channel, which is closed with it. On the channel's event loop.
     *
     * @param queueDepth most requests in flight, 1 or more; those beyond wait here
     * @param requestBytes most bytes in one ring request, a multiple of 4096; longer transfers are split. The channel has data pages for as many
     */
    public BlockFrontend(FrontChannel channel, int queueDepth, int requestBytes) {
        this.channel = channel;
        this.pieceBytes = Math.min(requestBytes, channel.maxSegments() * Blkif.PAGE_BYTES);
        for (int i = 0; i < queueDepth; i++) {
            free.add(channel.newRequest(pieceBytes));
        }
        channel.closeFuture().addListener(closed -> failWaiting());
    }

    /** Returns the channel, for issuing requests without a future; on its event loop only. */
    public FrontChannel channel() {
        return channel;
    }

    /** Returns what the disk looks like now. */
    public final FrontGeometry geometry() {
        return channel.geometry();
    }

    /**
     * Reads {@code target.writableBytes()} bytes and advances the writer index when all have arrived.
     *
     * @param offsetBytes a multiple of 512
     * @param target stays owned by the caller, who leaves it alone until the future completes
     */
    public CompletableFuture<Void> read(long offsetBytes, ByteBuf target) {
        int length = target.writableBytes();
        return transfer(Blkif.BLKIF_OP_READ, offsetBytes, target, target.writerIndex(), length)
                .thenRun(() -> target.writerIndex(target.writerIndex() + length));
    }

    /**
     * Writes the readable bytes of a buffer; its indexes stay as they are.
     *
     * @param offsetBytes a multiple of 512
     * @param source stays owned by the caller, who leaves it alone until the future completes
     */
    public CompletableFuture<Void> write(long offsetBytes, ByteBuf source) {
        return transfer(Blkif.BLKIF_OP_WRITE, offsetBytes, source, source.readerIndex(), source.readableBytes());
    }

    /** Makes all writes that have completed stable. */
    public CompletableFuture<Void> flush() {
        return submit(new Piece(Blkif.BLKIF_OP_FLUSH_DISKCACHE, 0, 0, Unpooled.EMPTY_BUFFER, 0));
    }

    /** Discards a range; offset and length in bytes, multiples of 512; less than 1 TiB. */
    public CompletableFuture<Void> discard(long offsetBytes, long lengthBytes) {
        requireSectors(offsetBytes, lengthBytes);
        return submit(new Piece(
                Blkif.BLKIF_OP_DISCARD,
                offsetBytes >> Blkif.SECTOR_SHIFT,
                Math.toIntExact(lengthBytes >> Blkif.SECTOR_SHIFT),
                Unpooled.EMPTY_BUFFER,
                0));
    }

    private static void requireSectors(long offsetBytes, long lengthBytes) {
        if (((offsetBytes | lengthBytes) & Blkif.SECTOR_BYTES - 1) != 0 || offsetBytes < 0 || lengthBytes <= 0) {
            throw new IllegalArgumentException(
                    "offset " + offsetBytes + ", length " + lengthBytes + "; multiples of 512, length not 0");
        }
    }

    private CompletableFuture<Void> transfer(int operation, long offset, ByteBuf buffer, int index, int length) {
        requireSectors(offset, length);
        CompletableFuture<?>[] pieces = new CompletableFuture<?>[(length + pieceBytes - 1) / pieceBytes];
        for (int i = 0; i < pieces.length; i++) {
            int start = i * pieceBytes;
            int bytes = Math.min(pieceBytes, length - start);
            pieces[i] = submit(new Piece(
                    operation,
                    (offset + start) >> Blkif.SECTOR_SHIFT,
                    bytes >> Blkif.SECTOR_SHIFT,
                    buffer,
                    index + start));
        }
        return CompletableFuture.allOf(pieces);
    }

    private CompletableFuture<Void> submit(Piece piece) {
        if (channel.eventLoop().inEventLoop()) {
            start(piece);
        } else {
            try {
                channel.eventLoop().execute(() -> start(piece));
            } catch (RejectedExecutionException e) {
                piece.end(FrontRequest.CONNECTION_LOST);
            }
        }
        return piece;
    }

    private void start(Piece piece) {
        FrontRequest request = free.poll();
        if (request == null) {
            waiting.add(piece);
            return;
        }
        if (!issue(piece, request)) {
            free.add(request);
            return;
        }
        if (!publishScheduled) {
            publishScheduled = true;
            channel.eventLoop().execute(() -> {
                publishScheduled = false;
                channel.publish();
            });
        }
    }

    /** Returns false, and fails the piece, when the caller's buffer can not be read. */
    private boolean issue(Piece piece, FrontRequest request) {
        if (piece.operation == Blkif.BLKIF_OP_WRITE && channel.isActive()) {
            try {
                request.data().setBytes(0, piece.buffer, piece.index, piece.sectors << Blkif.SECTOR_SHIFT);
            } catch (RuntimeException e) {
                piece.completeExceptionally(e);
                return false;
            }
        }
        request.describe(piece.operation, piece.sector, piece.sectors).attach(piece);
        channel.issue(request, this::ended);
        return true;
    }

    private void ended(FrontRequest request, int status) {
        Piece piece = (Piece) request.attachment();
        if (status == Blkif.BLKIF_RSP_OKAY && piece.operation == Blkif.BLKIF_OP_READ) {
            try {
                request.data().getBytes(0, piece.buffer, piece.index, piece.sectors << Blkif.SECTOR_SHIFT);
            } catch (RuntimeException e) {
                piece.completeExceptionally(e);
            }
        }
        // After the end of the ring those that wait are failed one after another, not one inside another.
        Piece next = status == FrontRequest.CONNECTION_LOST ? null : waiting.poll();
        while (next != null && !issue(next, request)) {
            next = waiting.poll();
        }
        if (next == null) {
            free.add(request); // else published at the end of the turn, with the others
        }
        piece.end(status);
    }

    private void failWaiting() {
        Piece piece;
        while ((piece = waiting.poll()) != null) {
            piece.end(FrontRequest.CONNECTION_LOST);
        }
    }

    /** Closes the ring. Requests in flight fail. Waits until it is closed, unless called on the frontend's event loop. */
    @Override
    public void close() {
        ChannelFuture closed = channel.close();
        if (!channel.eventLoop().inEventLoop()) {
            closed.awaitUninterruptibly();
        }
    }

    /** One ring request's worth of a transfer. */
    private static final class Piece extends CompletableFuture<Void> {
        final int operation;
        final long sector;
        final int sectors;
        final ByteBuf buffer;
        final int index;

        Piece(int operation, long sector, int sectors, ByteBuf buffer, int index) {
            this.operation = operation;
            this.sector = sector;
            this.sectors = sectors;
            this.buffer = buffer;
            this.index = index;
        }

        void end(int status) {
            switch (status) {
                case Blkif.BLKIF_RSP_OKAY -> complete(null);
                case Blkif.BLKIF_RSP_EOPNOTSUPP ->
                    completeExceptionally(
                            new UnsupportedOperationException("the disk does not support operation " + operation));
                case FrontRequest.CONNECTION_LOST ->
                    completeExceptionally(new IOException("the ring was closed with the request in flight"));
                default ->
                    completeExceptionally(new IOException("I/O error: operation " + operation + ", sector " + sector
                            + ", " + sectors + " sectors, status " + status));
            }
        }
    }
}
