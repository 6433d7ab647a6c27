package io.blocktap.launcher.load;

import io.blocktap.pipeline.BlockOp;
import java.util.Locale;

/** Reads and writes of one size until it is stopped. */
final class TimedWorkload implements Workload {
    /** Where requests go, and of which kind they are; names as fio has them. */
    enum Pattern {
        READ(100, false),
        WRITE(0, false),
        RW(50, false),
        RANDREAD(100, true),
        RANDWRITE(0, true),
        RANDRW(50, true);

        final int readPercent;
        final boolean random;

        Pattern(int readPercent, boolean random) {
            this.readPercent = readPercent;
            this.random = random;
        }

        static Pattern of(String word) {
            return valueOf(word.toUpperCase(Locale.ROOT));
        }

        String word() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private final Pattern pattern;
    private final int blockBytes;
    private final long blocks;
    private long randomState;
    private long cursor;
    private boolean stopped;

    /**
     * Makes a workload.
     *
     * @param startBlock where a sequential one begins
     */
    TimedWorkload(Pattern pattern, int blockBytes, long blocks, long startBlock, long seed) {
        this.pattern = pattern;
        this.blockBytes = blockBytes;
        this.blocks = blocks;
        this.cursor = startBlock;
        this.randomState = seed | 1;
    }

    void stop() {
        stopped = true;
    }

    @Override
    public boolean next(Slot slot) {
        if (stopped) {
            return false;
        }
        long random = random();
        boolean read = pattern.readPercent == 100 || pattern.readPercent != 0 && (random & 1) == 0;
        long block = pattern.random ? Long.remainderUnsigned(random >>> 8, blocks) : cursor++ % blocks;
        slot.describe(read ? BlockOp.READ : BlockOp.WRITE, block * blockBytes, blockBytes);
        return true;
    }

    /** xorshift64*: enough for offsets, and free of garbage. */
    private long random() {
        long x = randomState;
        x ^= x >>> 12;
        x ^= x << 25;
        x ^= x >>> 27;
        randomState = x;
        return x * 0x2545f4914f6cdd1dL;
    }

    @Override
    public void check(Slot slot) {
        // what is read is not looked at; VerifiedWorkload is for that
    }

    @Override
    public boolean goOn() {
        return false;
    }
}
