package io.blocktap.it.support;

import io.blocktap.transport.loopback.LoopbackFrontend;
import io.blocktap.transport.ring.BlkifLayout;
import io.netty.buffer.Unpooled;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** A program: a frontend in a process of its own that keeps a ring full of writes and reads until somebody kills it. */
public final class RingHammer {
    private static final int TRANSFERS = 48;
    private static final int TRANSFER_BYTES = 256 << 10;

    private RingHammer() {}

    /** Starts it on a part of the default disk from its start, 48 times 256 KiB; it prints "busy" when the ring is full of requests. */
    public static Exec start(Path socket) {
        return Exec.start(
                Path.of(System.getProperty("java.home"), "bin", "java"),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                RingHammer.class.getName(),
                socket);
    }

    /** Runs until it is killed, or an answer is an error. */
    public static void main(String[] arguments) {
        LoopbackFrontend.Options options = new LoopbackFrontend.Options(
                BlkifLayout.X86_64, 1, 32, LoopbackFrontend.Options.DEFAULT.requestBytes());
        try (RingClient ring = RingClient.open(Path.of(arguments[0]), options)) {
            byte[] data = TestData.bytes(1, TRANSFER_BYTES);
            boolean said = false;
            while (true) {
                List<CompletableFuture<Void>> all = new ArrayList<>();
                for (int i = 0; i < TRANSFERS; i++) {
                    long offset = (long) i * TRANSFER_BYTES;
                    all.add(
                            i % 2 == 0
                                    ? ring.disk().write(offset, Unpooled.wrappedBuffer(data))
                                    : ring.disk().read(offset, Unpooled.buffer(TRANSFER_BYTES, TRANSFER_BYTES)));
                }
                RingClient.join(CompletableFuture.anyOf(all.toArray(CompletableFuture[]::new)));
                if (!said) {
                    System.out.println("busy");
                    said = true;
                }
                all.forEach(RingClient::join);
            }
        }
    }
}
