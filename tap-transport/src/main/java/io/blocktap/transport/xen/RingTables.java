package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The directory of the tables of requests in flight, one file a ring. What stands there decides what is written to guests' disks, so nobody else may write it: the directory
 * is made for us alone, and refused if it is anything else; files are opened without following links.
 *
 * <p>It should lie in memory (tmpfs): a table is of no use after a reboot, and its stores must not wait for a disk. Any thread.
 */
public final class RingTables {
    private static final int OTHERS_MAY_WRITE = 022;
    private static final int MODE_TYPE = 0170000;
    private static final int REGULAR = 0100000;

    private final Path directory;
    private final String kind;
    private final int uid;

    private RingTables(Path directory, String kind, int uid) {
        this.directory = directory;
        this.kind = kind;
        this.uid = uid;
    }

    /**
     * Opens the directory; makes it, and those above it, if it is not there.
     *
     * @param kind part of the files' names: taps of different kinds may share a directory
     * @throws TapException if it can not be used; says what would be right
     */
    public static RingTables open(Path directory, String kind) throws TapException {
        try {
            Path parent = directory.toAbsolutePath().getParent();
            if (parent != null) {
                Files.createDirectories(parent);
            }
            try {
                Files.createDirectory(
                        directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            } catch (FileAlreadyExistsException e) {
                // it is looked at below, whoever made it
            }
            int uid = (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid");
            if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
                throw new TapException(directory + " is not a directory; state= names one of our own");
            }
            int owner = (Integer) Files.getAttribute(directory, "unix:uid", LinkOption.NOFOLLOW_LINKS);
            int mode = (Integer) Files.getAttribute(directory, "unix:mode", LinkOption.NOFOLLOW_LINKS);
            if (owner != uid || (mode & OTHERS_MAY_WRITE) != 0) {
                throw new TapException(directory + " belongs to user " + owner + " with mode "
                        + Integer.toOctalString(mode & 07777) + "; it must belong to user " + uid
                        + ", and nobody else may write it (mode 700)");
            }
            return new RingTables(directory, kind, uid);
        } catch (IOException e) {
            throw new TapException("the directory of the tables of requests in flight: " + e, e);
        }
    }

    Path pathOf(XenAddress address) {
        return directory.resolve(kind + "-" + address.domid() + "-" + address.device() + "-" + address.queue());
    }

    /** Opens and locks a ring's file, empty if it is new. The caller owns the descriptor; the lock goes with it, and with a killed process' last mapping. */
    Fd lock(XenAddress address) throws TapException {
        Path path = pathOf(address);
        Fd fd = null;
        boolean isOpen = false;
        try {
            fd = Libc.openFile(path.toString(), Libc.O_RDWR | Libc.O_CREAT | Libc.noFollowFlag(), 0600);
            check(fd, path);
            int result = Libc.lockExclusive(fd);
            if (result == -Errno.EAGAIN) {
                throw new TapException(address + " is served by another process, which has locked " + path);
            }
            if (result < 0) {
                throw new TapException(path + " can not be locked: " + Errno.describe(-result));
            }
            isOpen = true;
            return fd;
        } catch (IOException e) {
            throw new TapException(path + ": " + e.getMessage(), e);
        } finally {
            if (!isOpen && fd != null) {
                fd.close();
            }
        }
    }

    private void check(Fd fd, Path path) throws IOException, TapException {
        Path opened = opened(fd);
        int mode = (Integer) Files.getAttribute(opened, "unix:mode");
        int owner = (Integer) Files.getAttribute(opened, "unix:uid");
        if ((mode & MODE_TYPE) != REGULAR || owner != uid || (mode & OTHERS_MAY_WRITE) != 0) {
            throw new TapException(path + " is not a file that only user " + uid + " can write; remove it");
        }
    }

    private static Path opened(Fd fd) {
        return Path.of("/proc/self/fd/" + fd.number());
    }

    static long sizeOf(Fd fd) throws NativeException {
        try {
            return Files.size(opened(fd));
        } catch (IOException e) {
            throw new NativeException("stat", fd.toString(), Errno.EIO);
        }
    }

    /** Returns the rings whose tables are there. */
    public List<XenAddress> list() throws IOException {
        Pattern name = Pattern.compile(Pattern.quote(kind) + "-(\\d{1,9})-(\\d{1,9})-(\\d{1,4})");
        List<XenAddress> found = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
            for (Path file : files) {
                Matcher matcher = name.matcher(String.valueOf(file.getFileName()));
                if (matcher.matches()) {
                    found.add(new XenAddress(
                            Integer.parseInt(matcher.group(1)),
                            Integer.parseInt(matcher.group(2)),
                            Integer.parseInt(matcher.group(3))));
                }
            }
        }
        return found;
    }

    /** Removes the table of a ring that is gone. */
    public void remove(XenAddress address) throws IOException {
        Files.deleteIfExists(pathOf(address));
    }
}
