package io.blocktap.pipeline.file;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Finds out who has locked a file, for messages. {@code /proc/locks} tells it of {@code flock}; locks of open file descriptions have no process. */
final class LockHolder {
    private LockHolder() {}

    /**
     * Returns whether the file's lock will go by itself: its holder by {@code flock} was killed, and its last threads or requests are still in the kernel.
     */
    static boolean isEnding(Path file) {
        try {
            long device = (Long) Files.getAttribute(file, "unix:dev");
            long inode = (Long) Files.getAttribute(file, "unix:ino");
            Optional<String> process = find(Files.readAllLines(Path.of("/proc/locks")), device, inode);
            return process.isPresent() && isEnding(process.get());
        } catch (IOException | UnsupportedOperationException e) {
            return false;
        }
    }

    /** Looks at the state in {@code /proc/PID/stat}, behind the name in brackets: Z or X when the first thread has ended. */
    private static boolean isEnding(String process) {
        try {
            String stat = Files.readString(Path.of("/proc", process, "stat"));
            char state = stat.charAt(stat.lastIndexOf(')') + 2);
            return state == 'Z' || state == 'X';
        } catch (IOException e) {
            return true;
        }
    }

    /** Returns the process with a lock by {@code flock} on the file, as "process 123 (java)"; empty if the kernel does not tell. */
    static Optional<String> of(Path file) {
        try {
            long device = (Long) Files.getAttribute(file, "unix:dev");
            long inode = (Long) Files.getAttribute(file, "unix:ino");
            return find(Files.readAllLines(Path.of("/proc/locks")), device, inode)
                    .map(LockHolder::named);
        } catch (IOException | UnsupportedOperationException e) {
            return Optional.empty();
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
            String name = Files.readString(Path.of("/proc", process, "comm")).trim();
            return "process " + process + " (" + name + ")";
        } catch (IOException e) {
            return "process " + process; // it has ended, or is not ours to look at
        }
    }
}
