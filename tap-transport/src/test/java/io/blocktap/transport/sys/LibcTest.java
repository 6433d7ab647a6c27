package io.blocktap.transport.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.memory.MappedRegion;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The calls really reach the kernel, with the right arguments, and errno comes back. */
class LibcTest {
    private static final int CLOEXEC = 02000000; // octal, as in fdinfo

    @TempDir
    private Path folder;

    private MappedRegion memory;

    @BeforeEach
    void mapMemory() throws NativeException {
        memory = MappedRegion.anonymous(16384);
    }

    @AfterEach
    void unmapMemory() {
        memory.release();
    }

    private Fd create(String name) throws NativeException {
        return Libc.openFile(folder.resolve(name).toString(), Libc.O_RDWR | Libc.O_CREAT | Libc.O_EXCL, 0600);
    }

    static int openFlags(Fd fd) throws IOException {
        String flags = Files.readAllLines(Path.of("/proc/self/fdinfo/" + fd.number())).stream()
                .filter(line -> line.startsWith("flags:"))
                .findFirst()
                .orElseThrow();
        return Integer.parseInt(flags.substring("flags:".length()).trim(), 8);
    }

    static boolean closesOnExec(Fd fd) throws IOException {
        return (openFlags(fd) & CLOEXEC) != 0;
    }

    @Test
    void opensWithCloseOnExec() throws IOException {
        try (Fd file = create("a");
                Fd event = Libc.eventFd();
                Fd shared = Libc.memoryFile("test", 4096)) {
            assertThat(closesOnExec(file)).isTrue();
            assertThat(closesOnExec(event)).isTrue();
            assertThat(closesOnExec(shared)).isTrue();
        }
    }

    @Test
    void opensUnbuffered() throws IOException {
        try (Fd file = create("direct")) {
            Libc.truncate(file, 4096);
        }

        try (Fd file = Libc.openFile(folder.resolve("direct").toString(), Libc.O_RDWR | Libc.directFlag(), 0)) {
            assertThat(openFlags(file) & Libc.directFlag()).isEqualTo(Libc.directFlag());
            assertThat(Libc.readAt(file, memory.address(), 4096, 0)).isEqualTo(4096);
        }
    }

    @Test
    void tellsCallArgumentAndErrnoOfMissingFile() {
        String path = folder.resolve("missing").toString();

        assertThatThrownBy(() -> Libc.openFile(path, Libc.O_RDONLY, 0))
                .isInstanceOfSatisfying(
                        NativeException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOENT))
                .hasMessage("open(" + path + "): ENOENT (no such file or directory)");
    }

    @Test
    void tellsErrnoOfExistingFile() throws NativeException {
        create("there").close();

        assertThatThrownBy(() -> create("there"))
                .isInstanceOfSatisfying(
                        NativeException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EEXIST));
    }

    @Test
    void refusesPathWithZeroByte() {
        assertThatThrownBy(() -> Libc.openFile(folder.resolve("a") + "\0b", Libc.O_RDWR | Libc.O_CREAT, 0600))
                .isInstanceOf(NativeException.class)
                .hasMessageContaining("EINVAL");
        assertThat(folder.resolve("a")).doesNotExist();
    }

    @Test
    void opensPathThatIsNotAscii() throws NativeException {
        create("Müller-磁盘").close();

        assertThat(folder.resolve("Müller-磁盘")).exists();
    }

    @Test
    void readsWhatItWrote() throws NativeException {
        memory.view().put(0, "sectors".getBytes(StandardCharsets.US_ASCII));

        try (Fd file = create("data")) {
            assertThat(Libc.writeAt(file, memory.address(), 7, 4090)).isEqualTo(7);
            assertThat(Libc.readAt(file, memory.address() + 100, 4096, 4090)).isEqualTo(7);
            assertThat(Libc.readAt(file, memory.address() + 100, 4096, 5000)).isZero();
        }

        assertThat(text(100, 7)).isEqualTo("sectors");
    }

    @Test
    void readsAndWritesVectors() throws NativeException {
        long address = memory.address();
        memory.view().put(0, "headtail".getBytes(StandardCharsets.US_ASCII));
        memory.view().putLong(4096, address).putLong(4104, 4);
        memory.view().putLong(4112, address + 4).putLong(4120, 4);
        memory.view().putLong(8192, address + 1004).putLong(8200, 4);
        memory.view().putLong(8208, address + 1000).putLong(8216, 4);

        try (Fd file = create("vectors")) {
            assertThat(Libc.writeVectorAt(file, address + 4096, 2, 0, Libc.RWF_DSYNC))
                    .isEqualTo(8);
            assertThat(Libc.readVectorAt(file, address + 8192, 2, 0, 0)).isEqualTo(8);
        }

        assertThat(text(1000, 8)).isEqualTo("tailhead");
    }

    @Test
    void readsWithoutWaiting() throws NativeException {
        memory.view().putLong(4096, memory.address()).putLong(4104, 4096);

        try (Fd file = create("cached")) {
            Libc.writeAt(file, memory.address(), 4096, 0);

            // Just written, so it is in the page cache; a file system that can not say so answers EOPNOTSUPP.
            assertThat(Libc.readVectorAt(file, memory.address() + 4096, 1, 0, Libc.RWF_NOWAIT))
                    .isIn(4096L, (long) -Errno.EOPNOTSUPP);
        }
    }

    @Test
    void answersErrnoOfDataPath() throws NativeException {
        create("read-only").close();

        try (Fd file = Libc.openFile(folder.resolve("read-only").toString(), Libc.O_RDONLY, 0)) {
            assertThat(Libc.writeAt(file, memory.address(), 1, 0)).isEqualTo(-9); // EBADF
            assertThat(Libc.readAt(file, memory.address(), 1, -1)).isEqualTo(-Errno.EINVAL);
            assertThat(Libc.control(file, Libc.BLKGETSIZE64, memory.address())).isEqualTo(-25); // ENOTTY
        }
    }

    @Test
    void punchesHole() throws IOException {
        try (Fd file = create("sparse")) {
            memory.view().put(0, new byte[8192], 0, 8192);
            for (int i = 0; i < 8192; i++) {
                memory.view().put(i, (byte) 1);
            }
            Libc.writeAt(file, memory.address(), 8192, 0);

            int result = Libc.allocate(file, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, 4096, 4096);

            assertThat(result).isZero();
            assertThat(Libc.syncData(file)).isZero();
            assertThat(Libc.sync(file)).isZero();
            assertThat(Libc.seek(file, 0, Libc.SEEK_HOLE)).isEqualTo(4096);
            assertThat(Libc.seek(file, 4096, Libc.SEEK_DATA)).isEqualTo(-6); // ENXIO: no data behind
        }

        byte[] content = Files.readAllBytes(folder.resolve("sparse"));
        assertThat(content).hasSize(8192);
        assertThat(content[4095]).isOne();
        assertThat(content[4096]).isZero();
        assertThat(content[8191]).isZero();
    }

    @Test
    void sealsMemoryFileAgainstGrowingAndShrinking() throws IOException {
        try (Fd file = Libc.memoryFile("sealed", 8192)) {
            assertThatThrownBy(() -> Libc.truncate(file, 4096)).hasMessageContaining("EPERM");
            assertThatThrownBy(() -> Libc.truncate(file, 16384)).hasMessageContaining("EPERM");
            assertThat(Libc.writeAt(file, memory.address(), 1, 8192)).isEqualTo(-Errno.EPERM);
            assertThat(Files.readSymbolicLink(Path.of("/proc/self/fd/" + file.number()))
                            .toString())
                    .startsWith("/memfd:sealed");
        }
    }

    @Test
    void sharesMappingOfMemoryFile() throws NativeException {
        try (Fd file = Libc.memoryFile("shared", 4096)) {
            MappedRegion one = MappedRegion.shared(file, 4096);
            MappedRegion other = MappedRegion.shared(file, 4096);

            one.view().putLong(8, 42);

            assertThat(other.view().getLong(8)).isEqualTo(42);
            assertThat(other.address()).isNotEqualTo(one.address());
            one.release();
            other.release();
        }
    }

    @Test
    void refusesToMapNothing() {
        assertThatThrownBy(() -> Libc.mapAnonymous(0)).hasMessage("mmap(anonymous, 0): EINVAL (invalid argument)");
    }

    @Test
    void countsOnEventFd() throws NativeException {
        try (Fd event = Libc.eventFd()) {
            assertThat(Libc.readBytes(event, memory.address(), 8)).isEqualTo(-Errno.EAGAIN);

            memory.view().putLong(0, 3);
            assertThat(Libc.writeBytes(event, memory.address(), 8)).isEqualTo(8);
            assertThat(Libc.writeBytes(event, memory.address(), 8)).isEqualTo(8);

            assertThat(Libc.readBytes(event, memory.address() + 8, 8)).isEqualTo(8);
            assertThat(memory.view().getLong(8)).isEqualTo(6);
        }
    }

    @Test
    void locksFileAgainstOtherOpens() throws NativeException {
        create("locked").close();
        String path = folder.resolve("locked").toString();

        try (Fd one = Libc.openFile(path, Libc.O_RDWR, 0)) {
            try (Fd other = Libc.openFile(path, Libc.O_RDWR, 0)) {
                assertThat(Libc.lockShared(one)).isZero();
                assertThat(Libc.lockShared(other)).isZero();
                assertThat(Libc.lockExclusive(one)).isEqualTo(-Errno.EAGAIN);
            }
            assertThat(Libc.lockExclusive(one)).isZero();
        }
    }

    @Test
    void locksRangeAgainstOtherOpens() throws NativeException {
        create("ranges").close();
        String path = folder.resolve("ranges").toString();
        // struct flock: type s16, whence s16, pad, start s64, length s64, pid s32
        memory.view().putShort(0, (short) 1).putLong(8, 100).putLong(16, 1); // F_WRLCK
        memory.view().putShort(64, (short) 1).putLong(72, 101).putLong(80, 1);

        try (Fd one = Libc.openFile(path, Libc.O_RDWR, 0);
                Fd other = Libc.openFile(path, Libc.O_RDWR, 0)) {
            assertThat(Libc.lockRange(one, memory.address())).isZero();
            assertThat(Libc.lockRange(other, memory.address())).isEqualTo(-Errno.EAGAIN);
            assertThat(Libc.lockRange(other, memory.address() + 64)).isZero();
        }
    }

    @Test
    void releasesPagesOfMapping() {
        memory.view().putLong(0, 1).putLong(4096, 2).putLong(8192, 3);

        memory.releasePages(4096, 4096);

        assertThat(memory.view().getLong(0)).isOne();
        assertThat(memory.view().getLong(4096)).isZero();
        assertThat(memory.view().getLong(8192)).isEqualTo(3);
        assertThatThrownBy(() -> memory.releasePages(8192, 16384)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> memory.releasePages(1, 4096)).hasMessageContaining("EINVAL");
    }

    @Test
    void namesUnknownErrno() {
        assertThat(new NativeException("ioctl", "fd 7", 99).getMessage()).isEqualTo("ioctl(fd 7): errno 99");
    }

    private String text(int offset, int length) {
        byte[] bytes = new byte[length];
        ByteBuffer view = memory.view();
        view.get(offset, bytes);
        return new String(bytes, StandardCharsets.US_ASCII);
    }
}
