package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * The requests that wait for an answer, cut into {@link Piece}s: those that are not sent yet in the order in which they came, and those in flight by their slot.
 *
 * <p>Threads: the home loop. In steady state nothing is allocated. It is bounded by what the taps let into the chain.
 */
final class Outstanding {
    private Piece[] pieces = new Piece[0];
    private @Nullable Piece freePieces;
    private @Nullable Transfer freeTransfers;
    private @Nullable Transfer oldest;
    private @Nullable Transfer youngest;
    private @Nullable Piece firstUnsent;
    private @Nullable Piece lastUnsent;
    private long orders;
    private long begun;
    private int inFlight;
    private int again;
    private int transfers;

    /** Returns how many pieces are in flight. */
    int inFlight() {
        return inFlight;
    }

    /** Returns how many pieces, in flight or not, were sent on a connection that has broken. */
    int again() {
        return again;
    }

    /** Returns how many requests there are. */
    int requests() {
        return transfers;
    }

    /** Returns the request that came first; null if there is none. */
    @Nullable
    Transfer oldest() {
        return oldest;
    }

    // ---- a request's way

    /** Adds a READ or WRITE of at least one byte, behind the others. */
    void add(BlockRequest request, long deadlineNanos) {
        int length = request.dataLength();
        Transfer transfer = takeTransfer();
        transfer.begin(request, (length - 1) / Gnbd.MAX_DATA_BYTES + 1, deadlineNanos);
        transfer.number = begun++;
        transfer.older = youngest;
        if (youngest == null) {
            oldest = transfer;
        } else {
            youngest.younger = transfer;
        }
        youngest = transfer;
        transfers++;
        for (int start = 0; start < length; start += Gnbd.MAX_DATA_BYTES) {
            Piece piece = takePiece();
            piece.transfer = transfer;
            piece.startBytes = start;
            piece.lengthBytes = Math.min(Gnbd.MAX_DATA_BYTES, length - start);
            piece.order = orders++;
            piece.isAgain = false;
            piece.breaks = 0;
            append(piece);
        }
    }

    private void append(Piece piece) {
        piece.next = null;
        if (lastUnsent == null) {
            firstUnsent = piece;
        } else {
            lastUnsent.next = piece;
        }
        lastUnsent = piece;
    }

    /** Takes the first piece that is not sent; null if there is none. */
    @Nullable
    Piece takeUnsent() {
        Piece piece = firstUnsent;
        if (piece != null) {
            firstUnsent = piece.next;
            if (firstUnsent == null) {
                lastUnsent = null;
            }
            piece.next = null;
        }
        return piece;
    }

    /** Counts a piece as in flight. */
    void sent(Piece piece, DataConnection connection) {
        piece.connection = connection;
        inFlight++;
    }

    /** Finds the piece in flight on a connection that has a handle; null if there is none. */
    @Nullable
    Piece find(long handle, DataConnection connection) {
        int slot = Piece.slotOf(handle);
        if (slot < 0 || slot >= pieces.length) {
            return null;
        }
        Piece piece = pieces[slot];
        return piece.connection == connection && piece.handle() == handle ? piece : null;
    }

    /**
     * Ends a piece in flight.
     *
     * @return its request, if that was the last piece; to be ended by {@link #end}
     */
    @Nullable
    Transfer answered(Piece piece, BlockStatus status) {
        Transfer transfer = piece.owner();
        inFlight--;
        release(piece);
        if (status != BlockStatus.OK) {
            transfer.status = status;
        }
        return --transfer.piecesLeft == 0 ? transfer : null;
    }

    /** Forgets a request that has no pieces any more. */
    BlockRequest end(Transfer transfer) {
        if (transfer.older == null) {
            oldest = transfer.younger;
        } else {
            transfer.older.younger = transfer.younger;
        }
        if (transfer.younger == null) {
            youngest = transfer.older;
        } else {
            transfer.younger.older = transfer.older;
        }
        transfers--;
        transfer.older = null;
        transfer.younger = freeTransfers;
        freeTransfers = transfer;
        return transfer.end();
    }

    // ---- when a connection breaks

    /** Makes all pieces in flight unsent again, before those that never were, the oldest first. */
    void takeBack() {
        List<Piece> back = new ArrayList<>();
        for (Piece piece : pieces) {
            if (piece.connection != null) {
                piece.connection = null;
                if (!piece.isAgain) {
                    piece.isAgain = true;
                    again++;
                }
                back.add(piece);
            }
        }
        inFlight = 0;
        back.sort(Comparator.comparingLong(piece -> piece.order));
        Piece behind = firstUnsent;
        Piece last = lastUnsent;
        firstUnsent = null;
        lastUnsent = null;
        back.forEach(this::append);
        if (behind != null) {
            if (lastUnsent == null) {
                firstUnsent = behind;
            } else {
                lastUnsent.next = behind;
            }
            lastUnsent = last;
        }
    }

    /** Returns the only piece in flight; null if there is none, or more than one. */
    @Nullable
    Piece onlyInFlight() {
        if (inFlight == 1) {
            for (Piece piece : pieces) {
                if (piece.connection != null) {
                    return piece;
                }
            }
        }
        return null;
    }

    /**
     * Gives up a request. None of its pieces may be in flight.
     *
     * @return the request, to be answered
     */
    BlockRequest abandon(Transfer transfer) {
        Piece piece = firstUnsent;
        firstUnsent = null;
        lastUnsent = null;
        while (piece != null) {
            Piece following = piece.next;
            if (piece.transfer == transfer) {
                release(piece);
            } else {
                append(piece);
            }
            piece = following;
        }
        return end(transfer);
    }

    /** Returns whether a request whose time is over has a piece in flight. */
    boolean isLateInFlight(long nowNanos) {
        for (Piece piece : pieces) {
            if (piece.connection != null && piece.owner().deadlineNanos - nowNanos <= 0) {
                return true;
            }
        }
        return false;
    }

    /** Gives up all requests whose time is over. None of their pieces may be in flight. Returns them, to be answered. */
    List<BlockRequest> abandonLate(long nowNanos) {
        return abandonOldest(transfer -> transfer.deadlineNanos - nowNanos <= 0);
    }

    /** Gives up all requests. No piece may be in flight. Returns them, to be answered. */
    List<BlockRequest> abandonAll() {
        return abandonOldest(transfer -> true);
    }

    /** Gives up requests from the oldest one on, as long as they are meant; in one pass, since there may be many. */
    private List<BlockRequest> abandonOldest(Predicate<Transfer> isMeant) {
        Piece piece = firstUnsent;
        firstUnsent = null;
        lastUnsent = null;
        while (piece != null) {
            Piece following = piece.next;
            if (isMeant.test(piece.owner())) {
                release(piece);
            } else {
                append(piece);
            }
            piece = following;
        }
        List<BlockRequest> abandoned = new ArrayList<>();
        Transfer transfer;
        while ((transfer = oldest) != null && isMeant.test(transfer)) {
            abandoned.add(end(transfer));
        }
        return abandoned;
    }

    // ---- pools

    private Piece takePiece() {
        Piece piece = freePieces;
        if (piece == null) {
            piece = makePieces();
        }
        freePieces = piece.next;
        piece.next = null;
        return piece;
    }

    /** Returns the first of a chain of new ones. */
    private Piece makePieces() {
        int from = pieces.length;
        pieces = Arrays.copyOf(pieces, Math.max(64, from * 2));
        for (int slot = pieces.length - 1; slot >= from; slot--) {
            pieces[slot] = new Piece(slot);
            pieces[slot].next = slot + 1 < pieces.length ? pieces[slot + 1] : null;
        }
        return pieces[from];
    }

    private void release(Piece piece) {
        if (piece.isAgain) {
            again--;
        }
        piece.transfer = null;
        piece.connection = null;
        piece.next = freePieces;
        freePieces = piece;
    }

    private Transfer takeTransfer() {
        Transfer transfer = freeTransfers;
        if (transfer == null) {
            return new Transfer();
        }
        freeTransfers = transfer.younger;
        transfer.younger = null;
        return transfer;
    }
}
