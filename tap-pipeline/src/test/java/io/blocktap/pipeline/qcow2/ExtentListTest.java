package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayDeque;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ExtentListTest {
    @Test
    void holdsTheClustersThatAQueueHolds() {
        Random random = new Random(5);
        for (int round = 0; round < 200; round++) {
            ExtentList list = new ExtentList();
            ArrayDeque<Long> queue = new ArrayDeque<>();
            for (int step = 0; step < 300; step++) {
                if (random.nextInt(3) == 0 || queue.isEmpty()) {
                    long first = random.nextBoolean() && !queue.isEmpty() ? queue.getLast() + 1 : random.nextInt(1000);
                    int length = 1 + random.nextInt(3);
                    list.add(first, length);
                    for (int i = 0; i < length; i++) {
                        queue.addLast(first + i);
                    }
                } else {
                    assertThat(list.first(0)).isEqualTo(queue.removeFirst());
                    list.removeFirstCluster();
                }
                assertThat(list.isEmpty()).isEqualTo(queue.isEmpty());
            }
            long clusters = 0;
            for (int i = 0; i < list.size(); i++) {
                clusters += list.length(i);
            }
            assertThat(clusters).isEqualTo(queue.size());
        }
    }
}
