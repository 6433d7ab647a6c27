package io.blocktap.it.support;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

/**
 * An honest NBD client on a thread of its own, which writes blocks to its part of a disk and reads them back for as long as the test does
 * something bad to the server. {@link #close} asserts that every answer was right, and that answers came until the end.
 */
public final class VerifyingClient implements AutoCloseable {
    private static final int BLOCK_BYTES = 16 << 10;

    private final AtomicInteger rounds = new AtomicInteger();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private final CompletableFuture<Void> stop = new CompletableFuture<>();
    private final Thread thread;
    private final long start;
    /** Of each block that one whose write was answered last; the thread's, and everybody's when that has ended. */
    private final int[] versions;

    private VerifyingClient(Path socket, long start, long length) {
        this.start = start;
        versions = new int[(int) (length / BLOCK_BYTES)];
        thread = new Thread(() -> run(socket), "verifying client");
        thread.start();
    }

    /** Starts on a part of the default disk that nobody else writes. */
    public static VerifyingClient start(Path socket, long startBytes, long lengthBytes) {
        VerifyingClient client = new VerifyingClient(socket, startBytes, lengthBytes);
        client.awaitRounds(1);
        return client;
    }

    private void run(Path socket) {
        SplittableRandom random = new SplittableRandom(start);
        try (RawNbd client = RawNbd.open(socket)) {
            for (int i = 0; i < versions.length; i++) {
                write(client, start, i, ++versions[i]);
            }
            while (!stop.isDone()) {
                int written = random.nextInt(versions.length);
                write(client, start, written, ++versions[written]);
                int read = random.nextInt(versions.length);
                check(client, start, read, versions[read]);
                rounds.incrementAndGet();
            }
            for (int i = 0; i < versions.length; i++) {
                check(client, start, i, versions[i]);
            }
        } catch (Exception | AssertionError e) {
            failure.set(e);
        }
    }

    private static byte[] content(int block, int version) {
        return TestData.bytes((long) block << Integer.SIZE | version, BLOCK_BYTES);
    }

    private static void write(RawNbd client, long start, int block, int version) throws Exception {
        assertThat(client.write(start + (long) block * BLOCK_BYTES, content(block, version)))
                .isZero();
    }

    private static void check(RawNbd client, long start, int block, int version) throws Exception {
        byte[] read = client.read(start + (long) block * BLOCK_BYTES, BLOCK_BYTES);
        assertThat(Arrays.equals(read, content(block, version)))
                .as("block %d holds version %d", block, version)
                .isTrue();
    }

    private void awaitRounds(int more) {
        int wanted = rounds.get() + more;
        await("answers to an honest client").atMost(Duration.ofSeconds(20)).until(() -> {
            assertThat(failure.get()).isNull();
            return rounds.get() >= wanted;
        });
    }

    /** Asserts that answers still come. */
    public void assertServed() {
        awaitRounds(5);
    }

    @Override
    public void close() {
        try {
            assertServed();
        } finally {
            stop.complete(null);
            try {
                thread.join(TimeUnit.SECONDS.toMillis(20));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        assertThat(failure.get()).isNull();
        assertThat(thread.isAlive()).isFalse();
    }

    /** Asserts that a file holds what was written, byte for byte. To be called after {@link #close}. */
    public void assertStoredIn(Path image) {
        for (int i = 0; i < versions.length; i++) {
            byte[] stored = TestData.read(image, start + (long) i * BLOCK_BYTES, BLOCK_BYTES);
            assertThat(Arrays.equals(stored, content(i, versions[i])))
                    .as("block %d in the file holds version %d", i, versions[i])
                    .isTrue();
        }
    }
}
