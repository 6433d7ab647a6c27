package io.blocktap.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.sys.SeqPacketSocket;
import io.netty.channel.DefaultEventLoop;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.unix.FileDescriptor;
import io.netty.util.concurrent.Future;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Any descriptor can be attached to a loop, and detached. */
@ParameterizedClass
@EnumSource
@Timeout(60)
@SuppressWarnings("try") // closing one end early is what some tests are about
class FdPollTest {
    private final LoopKind kind;
    private final List<Integer> heard = new CopyOnWriteArrayList<>();
    private EventLoopGroup group;
    private EventLoop loop;
    private MappedRegion memory;

    @TempDir
    private Path folder;

    FdPollTest(LoopKind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() throws NativeException {
        group = kind.newGroup(1);
        loop = group.next();
        memory = MappedRegion.anonymous(4096);
        memory.view().putLong(0, 1);
    }

    @AfterEach
    void stop() {
        LoopKind.end(group);
        memory.release();
    }

    private FdPoll attach(Fd fd, int events) {
        return FdPoll.attach(loop, fd, events, heard::add).syncUninterruptibly().getNow();
    }

    private void ring(Fd event) {
        assertThat(Libc.writeBytes(event, memory.address(), 8)).isEqualTo(8);
    }

    private long write(Fd fd) {
        return Libc.writeBytes(fd, memory.address(), 1);
    }

    private void awaitHeard(int count) {
        await().untilAsserted(() -> assertThat(heard).hasSize(count));
    }

    /** Waits until the loop has seen everything that happened before. */
    private void settle() {
        for (int i = 0; i < 3; i++) {
            loop.submit(() -> {}).syncUninterruptibly();
            loop.schedule(() -> {}, 20, TimeUnit.MILLISECONDS).syncUninterruptibly();
        }
    }

    // ---- kinds of descriptors

    @Test
    void hearsEachRingOfAnEventFdThatNobodyReads() throws IOException {
        try (Fd event = Libc.eventFd()) {
            FdPoll poll = attach(event, FdPoll.IN);
            settle();
            assertThat(heard).isEmpty();

            for (int i = 1; i <= 5; i++) {
                ring(event);
                awaitHeard(i);
            }

            settle();
            assertThat(heard).hasSize(5).allMatch(events -> events == FdPoll.IN);
            poll.detach().syncUninterruptibly();
        }
    }

    @Test
    void hearsOfWhatItLeftUntilItIsTakenWhereTheLoopCanDoThat() throws IOException {
        try (Fd event = Libc.eventFd()) {
            FdPoll poll = FdPoll.attach(
                            loop,
                            event,
                            FdPoll.IN,
                            FdPoll.Trigger.LEVEL,
                            events -> {
                                heard.add(events);
                                if (heard.size() == 3) {
                                    Libc.readBytes(event, memory.address() + 8, 8);
                                }
                            },
                            () -> {})
                    .syncUninterruptibly()
                    .getNow();
            ring(event);

            awaitHeard(kind == LoopKind.EPOLL ? 3 : 1);
            settle();
            assertThat(heard).hasSize(kind == LoopKind.EPOLL ? 3 : 1);
            assertThat(poll.isLevelTriggered()).isEqualTo(kind == LoopKind.EPOLL);
            poll.detach().syncUninterruptibly();
        }
    }

    @Test
    void hearsWhatWasReadyBefore() throws IOException {
        try (Fd event = Libc.eventFd()) {
            ring(event);

            FdPoll poll = attach(event, FdPoll.IN);

            awaitHeard(1);
            poll.detach().syncUninterruptibly();
        }
    }

    @Test
    void hearsPipeAndItsEnd() throws IOException {
        FileDescriptor[] pipe = FileDescriptor.pipe();
        try (Fd reader = Fd.takeOver(pipe[0].intValue());
                Fd writer = Fd.takeOver(pipe[1].intValue())) {
            FdPoll poll = attach(reader, FdPoll.IN);
            write(writer);
            awaitHeard(1);
            assertThat(heard.get(0) & FdPoll.IN).isNotZero();

            writer.close();

            await().until(() -> heard.stream().anyMatch(events -> (events & FdPoll.HUP) != 0));
            poll.detach().syncUninterruptibly();
        }
    }

    @Test
    void hearsThatPipeCanBeWritten() throws IOException {
        FileDescriptor[] pipe = FileDescriptor.pipe();
        try (Fd reader = Fd.takeOver(pipe[0].intValue());
                Fd writer = Fd.takeOver(pipe[1].intValue())) {
            FdPoll poll = attach(writer, FdPoll.OUT);
            awaitHeard(1);
            assertThat(heard).containsExactly(FdPoll.OUT);

            reader.close();

            await().until(() -> heard.stream().anyMatch(events -> (events & FdPoll.ERR) != 0));
            poll.detach().syncUninterruptibly();
        }
    }

    @Test
    void hearsSocketAndItsEnd() throws IOException {
        String path = folder.resolve("s").toString();
        try (SeqPacketSocket listening = SeqPacketSocket.listenOn(path)) {
            FdPoll poll = attach(listening.fd(), FdPoll.IN);
            SeqPacketSocket client = SeqPacketSocket.connectTo(path);
            awaitHeard(1);
            poll.detach().syncUninterruptibly();
            heard.clear();

            try (SeqPacketSocket server = listening.accept()) {
                FdPoll connection = attach(server.fd(), FdPoll.IN | FdPoll.RDHUP);
                client.send(ByteBuffer.wrap(new byte[] {1}));
                await().until(() -> heard.stream().anyMatch(events -> (events & FdPoll.IN) != 0));
                client.close();
                await().until(() -> heard.stream().anyMatch(events -> (events & FdPoll.RDHUP) != 0));
                connection.detach().syncUninterruptibly();
            }
        }
    }

    @Test
    void watchesWhatLooksLikeAFileBelowProc() throws IOException {
        try (Fd mounts = Libc.openFile("/proc/self/mounts", Libc.O_RDONLY, 0)) {
            attach(mounts, FdPoll.IN).detach().syncUninterruptibly(); // as /proc/xen/xenbus does
        }
        loopLives();
    }

    // ---- refusals

    @Test
    void refusesRegularFile() throws IOException {
        try (Fd file = Libc.openFile(folder.resolve("f").toString(), Libc.O_RDWR | Libc.O_CREAT, 0600)) {
            Future<FdPoll> attached =
                    FdPoll.attach(loop, file, FdPoll.IN, heard::add).awaitUninterruptibly();

            assertThat(attached.cause())
                    .isInstanceOf(TapException.class)
                    .hasMessage(file + " can not be watched: a file or folder is always ready; only pipes, sockets "
                            + "and the like wait");
        }
        loopLives();
    }

    @Test
    void refusesFolder() throws IOException {
        try (Fd opened = Libc.openFile(folder.toString(), Libc.O_RDONLY, 0)) {
            assertThat(FdPoll.attach(loop, opened, FdPoll.IN, heard::add)
                            .awaitUninterruptibly()
                            .cause())
                    .isInstanceOf(TapException.class);
        }
        loopLives();
    }

    @Test
    void refusesClosedDescriptor() throws IOException {
        Fd event = Libc.eventFd();
        event.close();

        assertThatThrownBy(() -> FdPoll.attach(loop, event, FdPoll.IN, heard::add))
                .isInstanceOf(IllegalStateException.class);
        loopLives();
    }

    @Test
    void refusesOtherLoops() throws IOException {
        DefaultEventLoop other = new DefaultEventLoop();
        try (Fd event = Libc.eventFd()) {
            Future<FdPoll> attached =
                    FdPoll.attach(other, event, FdPoll.IN, heard::add).awaitUninterruptibly();

            assertThat(attached.cause())
                    .isInstanceOf(TapException.class)
                    .hasMessageContaining("epoll")
                    .hasMessageContaining("DefaultEventLoop");
        }
        other.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
    }

    @Test
    void refusesLoopThatHasEnded() throws IOException {
        LoopKind.end(group);
        try (Fd event = Libc.eventFd()) {
            Future<FdPoll> attached = FdPoll.attach(loop, event, FdPoll.IN, heard::add);

            assertThat(attached.await(5, TimeUnit.SECONDS)).isTrue();
            assertThat(attached.cause())
                    .isInstanceOf(TapException.class)
                    .hasMessage(event + " can not be watched: the event loop has ended");
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private void loopLives() throws IOException {
        heard.clear();
        try (Fd event = Libc.eventFd()) {
            FdPoll poll = attach(event, FdPoll.IN);
            ring(event);
            awaitHeard(1);
            poll.detach().syncUninterruptibly();
        }
    }

    // ---- faults

    @Test
    void goesOnWhenListenerThrows() throws IOException {
        AtomicInteger calls = new AtomicInteger();
        try (LogCapture log = new LogCapture();
                Fd event = Libc.eventFd()) {
            FdPoll poll = FdPoll.attach(loop, event, FdPoll.IN, events -> {
                        calls.incrementAndGet();
                        throw new AssertionError("listener's own");
                    })
                    .syncUninterruptibly()
                    .getNow();
            long before = System.nanoTime();
            for (int i = 1; i <= 3; i++) {
                int expected = i;
                ring(event);
                await().pollInterval(1, TimeUnit.MILLISECONDS).until(() -> calls.get() == expected);
                loop.submit(() -> {}).syncUninterruptibly();
            }

            // An exception that reaches Netty costs a second's sleep each.
            assertThat(System.nanoTime() - before).isLessThan(TimeUnit.MILLISECONDS.toNanos(1500));
            assertThat(log.lines())
                    .hasSize(3)
                    .allMatch(line ->
                            line.contains("listener of " + event + " failed") && line.contains("listener's own"));
            poll.detach().syncUninterruptibly();
        }
    }

    // ---- detaching

    @Test
    void isSilentAfterDetach() throws IOException {
        try (Fd event = Libc.eventFd()) {
            FdPoll poll = attach(event, FdPoll.IN);
            ring(event);
            awaitHeard(1);

            poll.detach().syncUninterruptibly();
            ring(event);

            settle();
            assertThat(heard).hasSize(1);
            poll.detach().syncUninterruptibly(); // once more does no harm
        }
    }

    @Test
    void isSilentAfterDetachByItsListener() throws IOException {
        try (Fd event = Libc.eventFd()) {
            FdPoll[] poll = new FdPoll[1];
            loop.submit(() -> {
                        poll[0] = FdPoll.attach(loop, event, FdPoll.IN, events -> {
                                    heard.add(events);
                                    poll[0].detach();
                                })
                                .getNow();
                    })
                    .syncUninterruptibly();
            ring(event);
            awaitHeard(1);
            ring(event);

            settle();
            assertThat(heard).hasSize(1);
        }
    }

    @Test
    void letsGoOfTheFile() throws IOException {
        FileDescriptor[] pipe = FileDescriptor.pipe();
        try (Fd reader = Fd.takeOver(pipe[0].intValue());
                Fd writer = Fd.takeOver(pipe[1].intValue())) {
            FdPoll poll = attach(reader, FdPoll.IN);
            settle();

            poll.detach().syncUninterruptibly();
            reader.close();

            // As long as a poll holds the reading end in the kernel, the pipe can be written.
            await().untilAsserted(() -> assertThat(write(writer)).isEqualTo(-Errno.EPIPE));
        }
    }

    @Test
    void watchesNumbersThatAreGivenOutAnew() throws IOException {
        for (int i = 0; i < 200; i++) {
            Fd event = Libc.eventFd();
            int expected = i + 1;
            FdPoll poll = attach(event, FdPoll.IN);
            ring(event);
            await().pollInterval(1, TimeUnit.MILLISECONDS)
                    .pollDelay(0, TimeUnit.MILLISECONDS)
                    .until(() -> heard.size() == expected);
            poll.detach().syncUninterruptibly();
            event.close();
        }
    }

    @Test
    void watchesSameDescriptorAgain() throws IOException {
        try (Fd event = Libc.eventFd()) {
            for (int i = 1; i <= 20; i++) {
                FdPoll poll = attach(event, FdPoll.IN);
                ring(event);
                await().until(() -> !heard.isEmpty());
                poll.detach().syncUninterruptibly();
                heard.clear();
            }
        }
    }

    // ---- the loop's end

    @Test
    void tellsWhenLoopEnds() throws IOException {
        AtomicInteger ended = new AtomicInteger();
        try (LogCapture log = new LogCapture();
                Fd event = Libc.eventFd()) {
            FdPoll poll = FdPoll.attach(loop, event, FdPoll.IN, heard::add, ended::incrementAndGet)
                    .syncUninterruptibly()
                    .getNow();

            LoopKind.end(group);

            assertThat(ended).hasValue(1);
            assertThat(poll.detach().isDone()).isTrue();
            ring(event);
            assertThat(heard).isEmpty();
            assertThat(log.lines()).isEmpty();
        }
    }
}
