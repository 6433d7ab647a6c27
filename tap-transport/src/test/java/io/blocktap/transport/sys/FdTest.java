package io.blocktap.transport.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

/** A descriptor is closed once, and never used after. */
class FdTest {
    private static boolean exists(int number) {
        return Files.exists(Path.of("/proc/self/fd/" + number), java.nio.file.LinkOption.NOFOLLOW_LINKS);
    }

    @Test
    void closesOnce() throws IOException {
        Fd first = Libc.eventFd();
        int number = first.number();
        assertThat(exists(number)).isTrue();
        first.close();
        assertThat(exists(number)).isFalse();

        // The lowest free number is given out next; a second close must not take it away from its new owner.
        List<Fd> others = new ArrayList<>();
        do {
            others.add(Libc.eventFd());
        } while (others.get(others.size() - 1).number() < number);
        first.close();

        assertThat(others).allSatisfy(fd -> assertThat(exists(fd.number())).isTrue());
        others.forEach(Fd::close);
    }

    @Test
    void closesOnceFromManyThreads() throws Exception {
        for (int round = 0; round < 50; round++) {
            Fd fd = Libc.eventFd();
            CountDownLatch start = new CountDownLatch(1);
            List<Thread> threads = new ArrayList<>();
            List<Throwable> failures = java.util.Collections.synchronizedList(new ArrayList<>());
            for (int i = 0; i < 4; i++) {
                Thread thread = new Thread(() -> {
                    try {
                        start.await();
                        fd.close();
                    } catch (Throwable t) {
                        failures.add(t);
                    }
                });
                thread.start();
                threads.add(thread);
            }
            start.countDown();
            for (Thread thread : threads) {
                thread.join();
            }

            assertThat(failures).isEmpty();
            assertThat(fd.isOpen()).isFalse();
        }
    }

    @Test
    void refusesNumberAfterClose() throws IOException {
        Fd fd = Libc.eventFd();
        int number = fd.number();
        fd.close();

        assertThatThrownBy(fd::number)
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("fd " + number + " was closed");
        assertThatThrownBy(() -> Libc.syncData(fd)).isInstanceOf(IllegalStateException.class);
        assertThat(fd).hasToString("fd " + number + " (closed)");
    }

    @Test
    void givesNettyTheSameViewEachTime() throws IOException {
        Fd fd = Libc.eventFd();
        assertThat(fd.nettyView()).isSameAs(fd.nettyView());
        assertThat(fd.nettyView().intValue()).isEqualTo(fd.number());
        assertThat(fd.nettyView().isOpen()).isTrue();

        fd.close();
        assertThat(fd.nettyView().isOpen()).isFalse();
    }
}
