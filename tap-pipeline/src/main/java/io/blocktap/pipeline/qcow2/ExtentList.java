package io.blocktap.pipeline.qcow2;

import java.util.Arrays;

/** Runs of host clusters, in the order in which they came; one that goes on where the last one ends lengthens that. */
final class ExtentList {
    private long[] words = new long[16];
    private int head;
    private int count;

    int size() {
        return count;
    }

    boolean isEmpty() {
        return count == 0;
    }

    /** Returns the first cluster's number. */
    long first(int index) {
        return words[2 * (head + index)];
    }

    /** Returns the number of clusters. */
    long length(int index) {
        return words[2 * (head + index) + 1];
    }

    void add(long firstCluster, long length) {
        if (count > 0 && first(count - 1) + length(count - 1) == firstCluster) {
            words[2 * (head + count) - 1] += length;
            return;
        }
        if (2 * (head + count) == words.length) {
            words = Arrays.copyOfRange(words, 2 * head, 2 * head + Math.max(16, 4 * count));
            head = 0;
        }
        words[2 * (head + count)] = firstCluster;
        words[2 * (head + count) + 1] = length;
        count++;
    }

    void removeFirstCluster() {
        words[2 * head]++;
        if (--words[2 * head + 1] == 0) {
            head++;
            count--;
        }
    }

    void addAll(ExtentList other) {
        for (int i = 0; i < other.count; i++) {
            add(other.first(i), other.length(i));
        }
    }
}
