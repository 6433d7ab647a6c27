package io.blocktap.transport.loopback;

import static org.awaitility.Awaitility.await;

import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.sys.SeqPacketSocket;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;

/** The other end of the socket without a driver: may say and write what it likes. */
final class RawFrontend implements AutoCloseable {
    final SeqPacketSocket socket;
    private MappedRegion region;
    private Fd kick;

    RawFrontend(LoopbackAddress address) throws NativeException {
        socket = SeqPacketSocket.connectTo(address.path());
    }

    /** Returns a HELLO that is right: one ring page, 16 data pages. */
    static ByteBuffer goodHello() throws IOException {
        return Handshake.hello(new Handshake.Hello(BlkifLayout.X86_64, 1, 16, ""));
    }

    SeqPacketSocket.Packet awaitPacket() {
        return await().pollInterval(5, TimeUnit.MILLISECONDS).until(socket::receive, packet -> packet != null);
    }

    /** Returns why the tap refuses. */
    String awaitRefusal() throws IOException {
        ByteBuffer reply = awaitPacket().data();
        if (Handshake.type(reply) != Handshake.REFUSED) {
            throw new AssertionError("reply of type " + Handshake.type(reply));
        }
        String reason = Handshake.parseRefused(reply);
        if (awaitPacket().data().limit() != 0) {
            throw new AssertionError("not closed after the refusal");
        }
        return reason;
    }

    /** Says HELLO and maps what the tap hands over. */
    ByteBuffer connect() throws IOException {
        socket.send(goodHello());
        SeqPacketSocket.Packet packet = awaitPacket();
        if (Handshake.type(packet.data()) != Handshake.WELCOME || packet.fds().size() != 3) {
            throw new AssertionError("no WELCOME");
        }
        region = MappedRegion.shared(packet.fds().get(0), 17 * 4096);
        kick = packet.fds().get(1);
        packet.fds().get(0).close();
        packet.fds().get(2).close();
        return region.view();
    }

    void kick() {
        Doorbell.ring(kick);
    }

    @Override
    public void close() {
        socket.close();
        if (region != null) {
            region.release();
            kick.close();
        }
    }
}
