package io.blocktap.interposer.dump;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Records come out whole and in the order of each producer, or are counted. */
final class RecordRingTest {
    private static long first(int words) {
        return words | 7L << 32;
    }

    @Test
    void isEmptyAtFirst() {
        assertThat(new RecordRing(64).peek()).isZero();
    }

    @Test
    void aClaimedRecordIsNotSeenBeforeItIsPublished() {
        RecordRing ring = new RecordRing(64);
        long start = ring.claim(3);
        ring.put(start + 1, 11);
        ring.put(start + 2, 12);

        assertThat(ring.peek()).isZero();
        ring.publish(start, first(3));

        assertThat(ring.peek()).isEqualTo(first(3));
        assertThat(ring.get(1)).isEqualTo(11);
        assertThat(ring.get(2)).isEqualTo(12);
        ring.remove(3);
        assertThat(ring.peek()).isZero();
    }

    @Test
    void fillsToTheLastWordAndCountsWhatDoesNotFit() {
        RecordRing ring = new RecordRing(64);
        for (int i = 0; i < 8; i++) {
            ring.publish(ring.claim(8), first(8));
        }

        assertThat(ring.claim(1)).isEqualTo(-1);
        assertThat(ring.dropped()).isEqualTo(1);
        ring.remove(8);
        assertThat(ring.claim(9)).isEqualTo(-1);
        assertThat(ring.claim(8)).isEqualTo(64);
        assertThat(ring.dropped()).isEqualTo(2);
    }

    @Test
    void severalProducersAndOneConsumerLoseNothingUncounted() throws Exception {
        RecordRing ring = new RecordRing(1024);
        int producers = 3;
        int each = 200_000;
        List<Thread> threads = new ArrayList<>();
        for (int p = 0; p < producers; p++) {
            int producer = p;
            Thread thread = new Thread(() -> {
                for (int i = 0; i < each; i++) {
                    int words = 3 + i % 5;
                    long start = ring.claim(words);
                    if (start >= 0) {
                        ring.put(start + 1, producer);
                        for (int word = 2; word < words; word++) {
                            ring.put(start + word, i);
                        }
                        ring.publish(start, first(words));
                    }
                }
            });
            threads.add(thread);
            thread.start();
        }
        long[] last = new long[producers];
        java.util.Arrays.fill(last, -1);
        long taken = 0;
        while (threads.stream().anyMatch(Thread::isAlive) || ring.peek() != 0) {
            long header = ring.peek();
            if (header == 0) {
                Thread.onSpinWait();
                continue;
            }
            int words = (int) header & 0xffff;
            int producer = (int) ring.get(1);
            long value = ring.get(2);
            assertThat(value).isGreaterThan(last[producer]);
            assertThat(words).isEqualTo(3 + (int) (value % 5));
            for (int word = 3; word < words; word++) {
                assertThat(ring.get(word)).isEqualTo(value);
            }
            last[producer] = value;
            ring.remove(words);
            taken++;
        }

        assertThat(taken + ring.dropped()).isEqualTo((long) producers * each);
        assertThat(taken).isPositive();
    }
}
