package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** A file opened only to look at its header, without a lock. The caller's thread. */
public final class HeaderFile implements ImageSource {
    private static final int TYPE_MASK = 0170000;
    private static final int TYPE_DEVICE = 0060000;

    private final Path path;
    private final Fd fd;
    private final long sizeBytes;

    private HeaderFile(Path path, Fd fd) throws NativeException {
        this.path = path;
        this.fd = fd;
        this.sizeBytes = Libc.seek(fd, 0, Libc.SEEK_END);
        if (sizeBytes < 0) {
            throw new NativeException("lseek", path.toString(), (int) -sizeBytes);
        }
    }

    /** Opens a file for reading. */
    public static HeaderFile open(Path path) throws IOException {
        if (!Files.exists(path)) {
            throw new NoSuchFileException(path.toString());
        }
        if (!Files.isRegularFile(path) && !isBlockDevice(path)) {
            throw new IOException("it is neither a regular file nor a block device");
        }
        Fd fd = Libc.openFile(path.toString(), Libc.O_RDONLY, 0);
        try {
            return new HeaderFile(path, fd);
        } catch (IOException e) {
            fd.close();
            throw e;
        }
    }

    private static boolean isBlockDevice(Path path) throws IOException {
        return ((Integer) Files.getAttribute(path, "unix:mode") & TYPE_MASK) == TYPE_DEVICE;
    }

    /** Returns how many bytes it takes on its file system. */
    public long allocatedBytes() throws IOException {
        return Libc.allocatedBytes(fd);
    }

    /** Returns whether it begins as a qcow2 image does. */
    public boolean isQcow2() {
        ByteBuffer start = ByteBuffer.allocateDirect(Integer.BYTES);
        return read(start, 0) == BlockStatus.OK && Qcow2Header.isQcow2(start.clear());
    }

    @Override
    public String name() {
        return path.toString();
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public BlockStatus read(ByteBuffer into, long offsetBytes) {
        long address = Libc.addressOf(into);
        while (into.hasRemaining()) {
            long read = Libc.readAt(fd, address + into.position(), into.remaining(), offsetBytes + into.position());
            if (read < 0) {
                return BlockStatus.IO_ERROR;
            }
            if (read == 0) {
                while (into.hasRemaining()) {
                    into.put((byte) 0);
                }
                break;
            }
            into.position(into.position() + (int) read);
        }
        return BlockStatus.OK;
    }

    @Override
    public void close() {
        fd.close();
    }
}
