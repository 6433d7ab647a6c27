package io.blocktap.pipeline.qcow2;

/** What becomes of whole clusters that are to be zeroed or were discarded. */
enum Emptying {
    /** They read as zeroes; their host clusters are given back. */
    ZERO {
        @Override
        long emptied(long former, boolean hasBacking) {
            return Entry.isUnallocated(former) && !hasBacking ? former : Entry.ZERO;
        }
    },
    /** They read as zeroes; their host clusters stay theirs. */
    ZERO_KEEPING {
        @Override
        long emptied(long former, boolean hasBacking) {
            return Entry.isCompressed(former) || (former & Entry.COPIED) == 0
                    ? ZERO.emptied(former, hasBacking)
                    : former | Entry.ZERO;
        }
    },
    /** Those that have data read as zeroes; the others stay as they are. */
    DISCARD {
        @Override
        long emptied(long former, boolean hasBacking) {
            if (Entry.isUnallocated(former)) {
                return former;
            }
            return hasBacking ? Entry.ZERO : Entry.UNALLOCATED;
        }
    };

    /** Returns what an entry is afterwards. */
    abstract long emptied(long former, boolean hasBacking);
}
