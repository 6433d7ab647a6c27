package io.blocktap.launcher.load;

import io.netty.buffer.ByteBuf;

/** The content of a verified disk: each 8-byte word is a function of its offset, so that a word at the wrong place shows. */
public final class Content {
    private final long seed;

    /** Makes one content of many. */
    public Content(long seed) {
        this.seed = seed;
    }

    /** The finalizer of SplitMix64: a bijection, so all words of a disk differ. */
    private long word(long offsetBytes) {
        long z = offsetBytes + seed;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    /**
     * Fills a buffer from its index 0.
     *
     * @param offsetBytes of the disk; a multiple of 8, as the length
     */
    public void fill(ByteBuf buffer, long offsetBytes, int lengthBytes) {
        for (int i = 0; i < lengthBytes; i += Long.BYTES) {
            buffer.setLong(i, word(offsetBytes + i));
        }
    }

    /**
     * Compares a buffer from its index 0.
     *
     * @return the offset in the buffer of the first wrong word; -1 if all is right
     */
    public int firstWrong(ByteBuf buffer, long offsetBytes, int lengthBytes) {
        for (int i = 0; i < lengthBytes; i += Long.BYTES) {
            if (buffer.getLong(i) != word(offsetBytes + i)) {
                return i;
            }
        }
        return -1;
    }
}
