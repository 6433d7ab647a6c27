package io.blocktap.terminator.memory;

import io.blocktap.transport.sys.NativeException;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Finds the chunk of an offset: a tree of three levels whose tables are made when something below them is first written, so that a
 * disk of a petabyte costs nothing until then.
 *
 * <p>Any thread, without locks: tables and chunks are only ever added, each by one compare-and-set; who loses the race gives its
 * own back.
 */
final class ChunkTable {
    /** log2 of the bytes in a chunk: 4 MiB, large enough to make system calls rare and small enough for sparse disks. */
    static final int CHUNK_SHIFT = 22;

    /** Bytes in a chunk. */
    static final int CHUNK_BYTES = 1 << CHUNK_SHIFT;

    private static final int LEVEL_SHIFT = 14;
    private static final int LEVEL_MASK = (1 << LEVEL_SHIFT) - 1;

    /** The lowest level: chunks side by side, 64 GiB of disk. */
    private static final class Leaf extends AtomicReferenceArray<@Nullable Chunk> {
        private static final long serialVersionUID = 1L;

        Leaf(int length) {
            super(length);
        }
    }

    /** The middle level: a petabyte of disk. */
    private static final class Branch extends AtomicReferenceArray<@Nullable Leaf> {
        private static final long serialVersionUID = 1L;

        Branch(int length) {
            super(length);
        }
    }

    private final long chunks;
    private final long sizeBytes;
    private final AtomicReferenceArray<@Nullable Branch> root;

    ChunkTable(long sizeBytes) {
        this.sizeBytes = sizeBytes;
        this.chunks = (sizeBytes - 1 >>> CHUNK_SHIFT) + 1;
        this.root = new AtomicReferenceArray<>((int) (chunks - 1 >>> 2 * LEVEL_SHIFT) + 1);
    }

    /** Returns a chunk, or null if nothing was written to it yet. */
    @Nullable
    Chunk find(long chunk) {
        Branch branch = root.get((int) (chunk >>> 2 * LEVEL_SHIFT));
        if (branch == null) {
            return null;
        }
        Leaf leaf = branch.get((int) (chunk >>> LEVEL_SHIFT) & LEVEL_MASK);
        return leaf == null ? null : leaf.get((int) chunk & LEVEL_MASK);
    }

    /**
     * Returns a chunk, made if need be.
     *
     * @throws NativeException if the system gives no more memory
     */
    Chunk findOrMake(long chunk) throws NativeException {
        Chunk present = find(chunk);
        return present != null ? present : make(chunk);
    }

    private Chunk make(long chunk) throws NativeException {
        int rootIndex = (int) (chunk >>> 2 * LEVEL_SHIFT);
        Branch branch = root.get(rootIndex);
        if (branch == null) {
            Branch made = new Branch(lengthOfLevel(chunk, 2 * LEVEL_SHIFT, LEVEL_SHIFT));
            branch = root.compareAndSet(rootIndex, null, made) ? made : present(root.get(rootIndex));
        }
        int branchIndex = (int) (chunk >>> LEVEL_SHIFT) & LEVEL_MASK;
        Leaf leaf = branch.get(branchIndex);
        if (leaf == null) {
            Leaf made = new Leaf(lengthOfLevel(chunk, LEVEL_SHIFT, 0));
            leaf = branch.compareAndSet(branchIndex, null, made) ? made : present(branch.get(branchIndex));
        }
        int leafIndex = (int) chunk & LEVEL_MASK;
        Chunk made = new Chunk(chunkBytes(chunk));
        if (leaf.compareAndSet(leafIndex, null, made)) {
            return made;
        }
        made.close();
        return present(leaf.get(leafIndex));
    }

    /** Returns how many entries the table of one level that holds {@code chunk} needs: fewer at the end of the disk. */
    private int lengthOfLevel(long chunk, int tableShift, int entryShift) {
        long firstOfTable = chunk >>> tableShift << tableShift;
        long entries = (chunks - firstOfTable - 1 >>> entryShift) + 1;
        return (int) Math.min(1L << LEVEL_SHIFT, entries);
    }

    private int chunkBytes(long chunk) {
        long rest = sizeBytes - (chunk << CHUNK_SHIFT);
        int page = 1 << Chunk.PAGE_SHIFT;
        return rest >= CHUNK_BYTES ? CHUNK_BYTES : ((int) rest + page - 1) / page * page;
    }

    private static <T> T present(@Nullable T entry) {
        if (entry == null) {
            throw new IllegalStateException("an entry went away");
        }
        return entry;
    }

    /** Returns the first chunk from {@code from} on, below {@code end}, that may exist: skips what no table covers. */
    long skipHoles(long from, long end) {
        long chunk = from;
        while (chunk < end) {
            Branch branch = root.get((int) (chunk >>> 2 * LEVEL_SHIFT));
            if (branch == null) {
                chunk = (chunk >>> 2 * LEVEL_SHIFT) + 1 << 2 * LEVEL_SHIFT;
                continue;
            }
            Leaf leaf = branch.get((int) (chunk >>> LEVEL_SHIFT) & LEVEL_MASK);
            if (leaf == null) {
                chunk = (chunk >>> LEVEL_SHIFT) + 1 << LEVEL_SHIFT;
                continue;
            }
            return chunk;
        }
        return end;
    }

    /** Calls for each chunk there is. */
    void forEach(Consumer<Chunk> action) {
        for (int i = 0; i < root.length(); i++) {
            Branch branch = root.get(i);
            for (int j = 0; branch != null && j < branch.length(); j++) {
                Leaf leaf = branch.get(j);
                for (int k = 0; leaf != null && k < leaf.length(); k++) {
                    Chunk chunk = leaf.get(k);
                    if (chunk != null) {
                        action.accept(chunk);
                    }
                }
            }
        }
    }
}
