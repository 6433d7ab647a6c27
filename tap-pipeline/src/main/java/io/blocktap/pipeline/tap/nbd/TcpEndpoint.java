package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.socket.SocketTransport;
import java.net.InetSocketAddress;
import java.net.SocketAddress;

/** A TCP port. */
final class TcpEndpoint implements NbdEndpoint {
    private final String host;
    private int port;

    /**
     * Names a port.
     *
     * @param wanted unresolved; port 0 takes a free one
     */
    TcpEndpoint(InetSocketAddress wanted) {
        host = wanted.getHostString();
        port = wanted.getPort();
    }

    @Override
    public boolean isUnix() {
        return false;
    }

    @Override
    public void check() {}

    @Override
    public Claim claim() throws StageException {
        InetSocketAddress address = new InetSocketAddress(host, port);
        if (address.isUnresolved()) {
            throw new StageException(
                    "nbd: tcp=" + this + ": this host name is not known; write an address of this machine");
        }
        return new Claim() {
            @Override
            public SocketAddress address() {
                return address;
            }

            @Override
            public void close() {
                // the kernel decides who gets a port
            }
        };
    }

    @Override
    public void bound(SocketAddress address) {
        port = ((InetSocketAddress) address).getPort();
    }

    @Override
    public Closing closing() {
        return () -> {};
    }

    @Override
    public String uri(String exportName) {
        return "nbd://" + this + "/" + NbdEndpoint.percentEncode(exportName);
    }

    @Override
    public String toString() {
        return SocketTransport.hostAndPort(host, port);
    }
}
