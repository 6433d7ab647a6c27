package io.blocktap.launcher.load;

import io.blocktap.pipeline.BlockOp;
import java.util.Random;

/** Writes the whole range in pieces of several sizes and in random order, flushes, and reads it in another order and other pieces. */
final class VerifiedWorkload implements Workload {
    /** Sizes of pieces; small ones more often, as file systems do. */
    private static final int[] PIECES = {4096, 4096, 4096, 4096, 8192, 16384, 32768, 65536};

    /** The longest piece. */
    static final int MOST_BYTES = 65536;

    private enum Phase {
        WRITE,
        FLUSH,
        READ,
        DONE
    }

    private final Content content;
    private final long sizeBytes;
    private final Random random;
    private final boolean flush;
    private Phase phase = Phase.WRITE;
    private long[] pieces;
    private int next;
    private long doneBytes;
    private long wrongPieces;
    private String firstWrong = "";

    /**
     * Makes a workload.
     *
     * @param sizeBytes of the range, a multiple of 512
     * @param flush whether the disk takes flushes
     */
    VerifiedWorkload(long sizeBytes, long seed, boolean flush) {
        this.sizeBytes = sizeBytes;
        this.content = new Content(seed);
        this.random = new Random(seed);
        this.flush = flush;
        this.pieces = cut();
    }

    /** Cuts the range into pieces, offset and length packed in a long, and shuffles them. */
    private long[] cut() {
        long[] cut = new long[(int) (sizeBytes / PIECES[0]) + 1];
        int count = 0;
        for (long offset = 0; offset < sizeBytes; ) {
            long length = Math.min(PIECES[random.nextInt(PIECES.length)], sizeBytes - offset);
            cut[count++] = offset << 8 | length >> 9;
            offset += length;
        }
        for (int i = count - 1; i > 0; i--) {
            int other = random.nextInt(i + 1);
            long swapped = cut[i];
            cut[i] = cut[other];
            cut[other] = swapped;
        }
        return java.util.Arrays.copyOf(cut, count);
    }

    @Override
    public boolean next(Slot slot) {
        if (phase == Phase.FLUSH && next == 0) {
            next++;
            slot.describe(BlockOp.FLUSH, 0, 0);
            return true;
        }
        if (phase == Phase.FLUSH || phase == Phase.DONE || next == pieces.length) {
            return false;
        }
        long piece = pieces[next++];
        slot.describe(phase == Phase.WRITE ? BlockOp.WRITE : BlockOp.READ, piece >>> 8, (int) (piece & 0xff) << 9);
        if (phase == Phase.WRITE) {
            content.fill(slot.data, slot.offsetBytes, slot.lengthBytes);
        }
        return true;
    }

    @Override
    public void check(Slot slot) {
        doneBytes += slot.lengthBytes;
        if (slot.op == BlockOp.READ) {
            int wrong = content.firstWrong(slot.data, slot.offsetBytes, slot.lengthBytes);
            if (wrong >= 0 && wrongPieces++ == 0) {
                firstWrong = "byte " + (slot.offsetBytes + wrong) + " in " + slot;
            }
        }
    }

    @Override
    public boolean goOn() {
        next = 0;
        phase = switch (phase) {
            case WRITE -> flush ? Phase.FLUSH : Phase.READ;
            case FLUSH -> Phase.READ;
            default -> Phase.DONE;
        };
        if (phase == Phase.READ) {
            pieces = cut();
        }
        return phase != Phase.DONE;
    }

    /** Returns how much of the work is done, 0 to 1. */
    double fraction() {
        return sizeBytes == 0 ? 1 : (double) doneBytes / (2 * sizeBytes);
    }

    /** Returns the number of reads with wrong content. */
    long wrongPieces() {
        return wrongPieces;
    }

    /** Returns where the first wrong word was; empty if there is none. */
    String firstWrong() {
        return firstWrong;
    }
}
