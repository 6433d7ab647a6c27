package io.blocktap.pipeline.qcow2;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** A file's content in memory, with holes. A copy shares what neither changes. */
final class SparseBytes {
    private static final int PAGE_BYTES = 4096;

    private final Map<Long, byte[]> pages;
    private long size;

    SparseBytes() {
        pages = new HashMap<>();
    }

    private SparseBytes(SparseBytes other) {
        pages = new HashMap<>(other.pages);
        size = other.size;
    }

    SparseBytes copy() {
        return new SparseBytes(this);
    }

    long size() {
        return size;
    }

    void write(long offset, byte[] bytes, int from, int length) {
        size = Math.max(size, offset + length);
        int done = 0;
        while (done < length) {
            long page = (offset + done) / PAGE_BYTES;
            int inPage = (int) ((offset + done) % PAGE_BYTES);
            int now = Math.min(length - done, PAGE_BYTES - inPage);
            byte[] old = pages.get(page);
            byte[] changed = old == null ? new byte[PAGE_BYTES] : old.clone(); // a copy may have the old one
            System.arraycopy(bytes, from + done, changed, inPage, now);
            pages.put(page, changed);
            done += now;
        }
    }

    /** Reads; what is not there is zero. */
    byte[] read(long offset, int length) {
        byte[] result = new byte[length];
        int done = 0;
        while (done < length) {
            int inPage = (int) ((offset + done) % PAGE_BYTES);
            int now = Math.min(length - done, PAGE_BYTES - inPage);
            byte[] page = pages.get((offset + done) / PAGE_BYTES);
            if (page != null) {
                System.arraycopy(page, inPage, result, done, now);
            }
            done += now;
        }
        return result;
    }

    /** What a discarded range reads as may be anything; something that nobody has written shows who relies on it. */
    void discard(long offset, long length) {
        byte[] rubbish = new byte[(int) length];
        Arrays.fill(rubbish, (byte) 0xdd);
        write(offset, rubbish, 0, rubbish.length);
    }
}
