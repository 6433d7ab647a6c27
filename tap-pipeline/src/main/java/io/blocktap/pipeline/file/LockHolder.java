package io.blocktap.pipeline.file;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Finds out who has locked a file, for messages and for who waits. {@code /proc/locks} tells it of {@code flock}; locks of open file descriptions have no process, so there whoever
 * has the file open is taken for it.
 */
final class LockHolder {
    private static final Path PROC = Path.of("/proc");

    private LockHolder() {}

    /** Returns a living process that has the file locked, or open if the kernel does not tell whose the lock is, as "process 123 (java)"; empty if none is seen. */
    static Optional<String> of(Path file) {
        try {
            long device = (Long) Files.getAttribute(file, "unix:dev");
            long inode = (Long) Files.getAttribute(file, "unix:ino");
            Optional<String> process = find(Files.readAllLines(PROC.resolve("locks")), device, inode);
            return (process.isPresent() ? process : whoHasOpen(device, inode))
                    .filter(LockHolder::isAlive)
                    .map(LockHolder::named);
        } catch (IOException | UnsupportedOperationException e) {
            return Optional.empty();
        }
    }

    /** Returns whether it is this process that has the file locked, as far as the kernel tells. */
    static boolean isThisProcess(Path file) {
        try {
            long device = (Long) Files.getAttribute(file, "unix:dev");
            long inode = (Long) Files.getAttribute(file, "unix:ino");
            String own = Long.toString(ProcessHandle.current().pid());
            return find(Files.readAllLines(PROC.resolve("locks")), device, inode)
                    .filter(own::equals)
                    .isPresent();
        } catch (IOException | UnsupportedOperationException e) {
            return false;
        }
    }

    /** Looks at the state in {@code /proc/PID/stat}, behind the name in brackets: Z or X when the first thread has ended. */
    private static boolean isAlive(String process) {
        try {
            String stat = Files.readString(PROC.resolve(process).resolve("stat"));
            char state = stat.charAt(stat.lastIndexOf(')') + 2);
            return state != 'Z' && state != 'X';
        } catch (IOException e) {
            return false;
        }
    }

    /** Looks at the descriptors of all other processes that we may look at. */
    private static Optional<String> whoHasOpen(long device, long inode) throws IOException {
        String own = Long.toString(ProcessHandle.current().pid());
        try (DirectoryStream<Path> processes = Files.newDirectoryStream(PROC, "[1-9]*")) {
            for (Path process : processes) {
                String number = String.valueOf(process.getFileName());
                if (!number.equals(own) && hasOpen(process.resolve("fd"), device, inode)) {
                    return Optional.of(number);
                }
            }
        }
        return Optional.empty();
    }

    private static boolean hasOpen(Path descriptors, long device, long inode) {
        try (DirectoryStream<Path> all = Files.newDirectoryStream(descriptors)) {
            for (Path descriptor : all) {
                if (isSame(descriptor, device, inode)) {
                    return true;
                }
            }
        } catch (IOException | DirectoryIteratorException e) {
            return false; // it has ended, or is not ours to look at
        }
        return false;
    }

    private static boolean isSame(Path descriptor, long device, long inode) {
        try {
            return (Long) Files.getAttribute(descriptor, "unix:ino") == inode
                    && (Long) Files.getAttribute(descriptor, "unix:dev") == device;
        } catch (IOException e) {
            return false; // closed meanwhile
        }
    }

    /**
     * Looks through the lines of {@code /proc/locks}: {@code 1: FLOCK ADVISORY WRITE 123 fe:00:2171665 0 EOF}, numbers of the device in
     * hexadecimal.
     *
     * @param device as {@code stat} has it
     * @return the process, if the lock is of our own namespace
     */
    static Optional<String> find(List<String> lines, long device, long inode) {
        // gnu_dev_major and gnu_dev_minor of glibc
        long major = device >>> 8 & 0xfff | device >>> 32 & ~0xfffL;
        long minor = device & 0xff | device >>> 12 & ~0xffL;
        String place = String.format("%02x:%02x:%d", major, minor, inode);
        return lines.stream()
                .map(line -> line.trim().split("\\s+"))
                .filter(words -> words.length > 5 && words[1].equals("FLOCK") && words[5].equals(place))
                .map(words -> words[4])
                .filter(process -> process.matches("[1-9]\\d*"))
                .findFirst();
    }

    private static String named(String process) {
        try {
            String name =
                    Files.readString(PROC.resolve(process).resolve("comm")).trim();
            return "process " + process + " (" + name + ")";
        } catch (IOException e) {
            return "process " + process; // it has ended, or is not ours to look at
        }
    }
}
