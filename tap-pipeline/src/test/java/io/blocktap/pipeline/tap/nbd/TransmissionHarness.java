package io.blocktap.pipeline.tap.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.codec.nbd.Nbd;
import io.blocktap.pipeline.codec.nbd.NbdExport;
import io.blocktap.pipeline.socket.FaultLog;
import io.blocktap.pipeline.socket.SocketLimits;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.socket.SocketReader;
import io.blocktap.pipeline.socket.TransmissionHandler;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.TestPool;
import io.blocktap.transport.memory.MemoryBudget;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.LoggerFactory;

/** The transmission phase of one connection on an embedded channel, over a {@link ReferenceDisk}. The test's thread only. */
final class TransmissionHarness implements AutoCloseable {
    static final NbdLimits LIMITS = new NbdLimits(
            new SocketLimits(1, new TransmissionHandler.Limits(256, 64 << 20, Duration.ofSeconds(30))),
            Duration.ofSeconds(10));
    static final long BUDGET = 256L << 20;

    final EmbeddedChannel channel = new EmbeddedChannel();
    final ReferenceDisk reference;
    final Disk disk;
    private final TapLoops loops = new TapLoops(channel.eventLoop(), BUDGET);
    private final TestPool workers = new TestPool(1);
    private final SocketMemory memory = new SocketMemory();
    private final ByteBuf sent = Unpooled.buffer();
    /** Lengths of the READs whose data are to come, by cookie. */
    private final Map<Long, Integer> reads = new HashMap<>();

    boolean stopping;

    TransmissionHarness(Geometry geometry, ReferenceDisk.Answering answering, NbdLimits limits) throws Exception {
        reference = new ReferenceDisk(geometry, answering);
        disk = new DiskOpener(loops, workers, InstantSource.system())
                .open("", "reference", List.of(new DiskOpener.Unopened("reference", reference)));
        ChainHandler chain = new ChainHandler(disk.connect("nbd", "test"));
        NbdTransmissionHandler transmission = new NbdTransmissionHandler(
                NbdExport.of("", "", disk.geometry()),
                limits,
                memory,
                () -> stopping,
                "test",
                new FaultLog(LoggerFactory.getLogger(TransmissionHarness.class)));
        channel.pipeline().addLast(transmission, chain);
        transmission.start(chain.stream(), new SocketReader(), new MemoryBudget(BUDGET / 2));
    }

    MemoryBudget budget() {
        return loops.budget();
    }

    boolean isReading() {
        return channel.config().isAutoRead();
    }

    /** Hands bytes to the channel as one read. */
    void receive(byte[] bytes) {
        channel.writeInbound(Unpooled.wrappedBuffer(bytes));
    }

    /** Says that the READ with this cookie is answered with so many bytes if it succeeds. */
    void expectData(long cookie, int length) {
        reads.put(cookie, length);
    }

    /** Returns the replies since the last call; there must be whole ones only. */
    List<Frames.Answer> answers() {
        channel.runPendingTasks();
        ByteBuf piece;
        while ((piece = channel.readOutbound()) != null) {
            sent.writeBytes(piece);
            piece.release();
        }
        List<Frames.Answer> answers = new ArrayList<>();
        while (sent.isReadable()) {
            assertThat(sent.readInt()).isEqualTo(Nbd.SIMPLE_REPLY_MAGIC);
            int errno = sent.readInt();
            long cookie = sent.readLong();
            Integer length = reads.remove(cookie);
            byte[] data = new byte[errno == 0 && length != null ? length : 0];
            sent.readBytes(data);
            answers.add(new Frames.Answer(cookie, errno, data));
        }
        sent.clear();
        return answers;
    }

    /** Closes the channel, answers what is held, and checks that nothing was left behind. */
    @Override
    public void close() {
        channel.close();
        reference.release();
        channel.runPendingTasks();
        ByteBuf piece;
        while ((piece = channel.readOutbound()) != null) {
            piece.release();
        }
        channel.checkException();
        assertThat(disk.sessions()).isEmpty();
        assertThat(memory.chunksInUse()).as("socket chunks in use").isZero();
        assertThat(loops.memory(channel.eventLoop()).buffersInUse())
                .as("data buffers in use")
                .isZero();
        disk.close();
        memory.close();
        loops.memory(channel.eventLoop()).close();
        workers.close();
    }
}
