package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.StageException;
import io.blocktap.transport.sys.DirectoryLock;
import io.blocktap.transport.sys.NativeException;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A unix socket. A socket file that a dead server has left is replaced; a live server's is not. At the end the file is removed, unless
 * somebody has put another one in its place.
 *
 * <p>The file gets its mode right after it was bound; until then the process's umask holds, which takes the right to connect from
 * everybody but the owner unless it is unusually open.
 */
final class UnixEndpoint implements NbdEndpoint {
    /** Longest path of a unix socket on Linux: {@code sun_path} with its final zero has 108. */
    private static final int MAX_PATH_BYTES = 107;

    private final Path path;
    private final Set<PosixFilePermission> mode;
    private final Address address;
    private @Nullable Object file; // set while it is bound

    /** What Netty's channel binds, and whose path it removes when it closes, whatever is there then: so it forgets it if that is not ours. */
    private static final class Address extends DomainSocketAddress {
        private static final long serialVersionUID = 1L;

        private volatile boolean isForgotten;

        Address(String path) {
            super(path);
        }

        @Override
        public String path() {
            return isForgotten ? "" : super.path();
        }
    }

    /**
     * Names a socket file.
     *
     * @param mode the file's permissions
     */
    UnixEndpoint(Path path, Set<PosixFilePermission> mode) {
        this.path = path.toAbsolutePath();
        this.mode = mode;
        this.address = new Address(this.path.toString());
    }

    @Override
    public boolean isUnix() {
        return true;
    }

    @Override
    public void check() throws StageException {
        int length = path.toString().getBytes(StandardCharsets.UTF_8).length;
        if (length > MAX_PATH_BYTES) {
            throw new StageException("nbd: unix=" + path + " has " + length
                    + " bytes; the path of a socket has at most " + MAX_PATH_BYTES + ": choose a shorter one");
        }
    }

    @Override
    public Claim claim() throws StageException {
        check();
        Path directory = path.getParent();
        if (directory != null && !Files.isDirectory(directory)) {
            throw new StageException(
                    "nbd: unix=" + path + ": there is no directory " + directory + "; make it, or choose another path");
        }
        DirectoryLock lock;
        try {
            lock = DirectoryLock.ofFile(path);
        } catch (NativeException e) {
            throw new StageException("nbd: unix=" + path + ": its directory can not be used: " + e.getMessage(), e);
        }
        boolean isFree = false;
        try {
            if (Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
                replaceStale();
            }
            isFree = true;
        } finally {
            if (!isFree) {
                lock.close();
            }
        }
        return new Claim() {
            @Override
            public SocketAddress address() {
                return address;
            }

            @Override
            public void close() {
                lock.close();
            }
        };
    }

    private void replaceStale() throws StageException {
        if (!isSocket()) {
            throw new StageException(
                    "nbd: unix=" + path + " exists and is no socket; remove it or choose another path");
        }
        if (isServed()) {
            throw new StageException(
                    "nbd: unix=" + path + " is in use by a running server; stop it or choose another path");
        }
        try {
            Files.delete(path);
        } catch (IOException e) {
            throw new StageException("nbd: unix=" + path + ": a dead server's socket can not be removed: " + e, e);
        }
        NbdTap.LOG.info("nbd: replacing {}, which a dead server has left", path);
    }

    private boolean isSocket() throws StageException {
        final int typeMask = 0170000;
        final int socketType = 0140000;
        try {
            int bits = (Integer) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS);
            return (bits & typeMask) == socketType;
        } catch (IOException e) {
            throw new StageException("nbd: unix=" + path + " can not be looked at: " + e, e);
        }
    }

    private boolean isServed() {
        try (SocketChannel probe = SocketChannel.open(UnixDomainSocketAddress.of(path))) {
            return probe.isConnected();
        } catch (IOException e) {
            NbdTap.LOG.debug("nbd: nobody listens on {}: {}", path, e.getMessage());
            return false;
        }
    }

    @Override
    public void bound(SocketAddress boundTo) throws StageException {
        try {
            file = identity();
            Files.setPosixFilePermissions(path, mode);
        } catch (IOException e) {
            throw new StageException("nbd: unix=" + path + ": its mode can not be set: " + e, e);
        }
    }

    private Object identity() throws IOException {
        return Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                .fileKey();
    }

    @Override
    public Closing closing() {
        DirectoryLock lock;
        try {
            // No other server looks at the path between the end of ours and the file's removal.
            lock = DirectoryLock.ofFile(path);
        } catch (NativeException e) {
            NbdTap.LOG.debug("nbd: the directory of {} is gone: {}", path, e.getMessage());
            address.isForgotten = true;
            return () -> {};
        }
        address.isForgotten = !isOurs();
        return lock::close;
    }

    private boolean isOurs() {
        try {
            return identity().equals(file);
        } catch (IOException e) {
            NbdTap.LOG.debug("nbd: {} is gone: {}", path, e.getMessage());
            return false;
        }
    }

    @Override
    public String uri(String exportName) {
        return "nbd+unix:///" + NbdEndpoint.percentEncode(exportName) + "?socket="
                + NbdEndpoint.percentEncode(path.toString());
    }

    @Override
    public String toString() {
        return path.toString();
    }
}
