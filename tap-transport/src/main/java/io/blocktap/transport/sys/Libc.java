package io.blocktap.transport.sys;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * The libc calls that blocktap makes, and nothing else that is native (but for what Netty does itself).
 *
 * <p>Methods that set something up throw {@link NativeException}. Methods of the data path ({@code pread}, {@code pwrite},
 * {@code preadv2}, ...) return the number of bytes, or {@code -errno}; they allocate nothing. Addresses are raw
 * addresses of memory that the caller keeps alive until the call has returned.
 *
 * <p>64-bit Linux only (offsets and sizes are passed as {@code long}).
 */
public final class Libc {
    /** {@code open(2)}: read only. */
    public static final int O_RDONLY = 0;
    /** {@code open(2)}: read and write. */
    public static final int O_RDWR = 2;
    /** {@code open(2)}: create the file if it does not exist. */
    public static final int O_CREAT = 0x40;
    // linux/fcntl.h, linux/stat.h: struct statx has 256 bytes, stx_blocks (u64, in units of 512 bytes) at 48.
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int STATX_BLOCKS = 0x400;
    private static final int STATX_BYTES = 256;
    private static final int STX_BLOCKS = 48;
    private static final int STAT_BLOCK_BYTES = 512;
    /** {@code open(2)}: with {@link #O_CREAT}, fail if the file exists. */
    public static final int O_EXCL = 0x80;

    /** {@code preadv2(2)}: fail with EAGAIN rather than wait for the device. */
    public static final int RWF_NOWAIT = 8;
    /** {@code pwritev2(2)}: this write is on stable storage when the call returns. */
    public static final int RWF_DSYNC = 2;

    /** {@code fallocate(2)}: leave the file's size as it is. */
    public static final int FALLOC_FL_KEEP_SIZE = 1;
    /** {@code fallocate(2)}: free the range, which then reads as zeroes. */
    public static final int FALLOC_FL_PUNCH_HOLE = 2;
    /** {@code fallocate(2)}: make the range read as zeroes, allocated. */
    public static final int FALLOC_FL_ZERO_RANGE = 0x10;

    /** {@code ioctl(2)} of block devices: size in bytes, a u64 at the given address. */
    public static final long BLKGETSIZE64 = 0x80081272L;
    /** {@code ioctl(2)} of block devices: logical block size, an int at the given address. */
    public static final long BLKSSZGET = 0x1268L;
    /** {@code ioctl(2)} of block devices: physical block size, an int at the given address. */
    public static final long BLKPBSZGET = 0x127bL;
    /** {@code ioctl(2)} of block devices: 1 if it is read-only, an int at the given address. */
    public static final long BLKROGET = 0x125eL;
    /** {@code ioctl(2)} of block devices: discard; two u64 (offset, length) at the given address. */
    public static final long BLKDISCARD = 0x1277L;
    /** {@code ioctl(2)} of block devices: write zeroes; two u64 (offset, length) at the given address. */
    public static final long BLKZEROOUT = 0x127fL;

    /** {@code lseek}: the end of the file; of a block device, too. */
    public static final int SEEK_END = 2;
    /** {@code lseek(2)}: next byte that holds data. */
    public static final int SEEK_DATA = 3;
    /** {@code lseek(2)}: next hole. */
    public static final int SEEK_HOLE = 4;

    /** Size of a memory page on the machines that blocktap runs on, and of a granted page. */
    public static final int PAGE_BYTES = 4096;

    private static final int O_CLOEXEC = 0x80000;
    private static final int PROT_READ_WRITE = 3;
    private static final int MAP_SHARED = 1;
    private static final int MAP_PRIVATE = 2;
    private static final int MAP_ANONYMOUS = 0x20;
    private static final int MADV_DONTNEED = 4;
    private static final int MADV_NOHUGEPAGE = 15;
    private static final int MFD_CLOEXEC_ALLOW_SEALING = 3;
    private static final int F_ADD_SEALS = 1033;
    private static final int SEALS_SHRINK_GROW_SEAL = 7;
    private static final int F_OFD_GETLK = 36;
    private static final int F_OFD_SETLK = 37;
    private static final int F_RDLCK = 0;
    private static final int F_WRLCK = 1;
    private static final int F_UNLCK = 2;
    private static final int EFD_NONBLOCK_CLOEXEC = 0x80800;
    private static final int LOCK_EX_NB = 6;
    private static final int LOCK_SH_NB = 5;
    // The open flags whose values differ between the architectures (asm/fcntl.h).
    private static final int O_DIRECT = isAarch64() ? 0x10000 : 0x4000;
    private static final int O_NOFOLLOW = isAarch64() ? 0x8000 : 0x20000;

    static {
        Native.register(Libc.class, "c");
    }

    private Libc() {}

    private static boolean isAarch64() {
        return "aarch64".equals(System.getProperty("os.arch"));
    }

    private static native int open(byte[] path, int flags, int mode);

    private static native int close(int fd);

    private static native int ftruncate(int fd, long length);

    private static native int fallocate(int fd, int mode, long offset, long length);

    private static native int fdatasync(int fd);

    private static native int fsync(int fd);

    private static native long pread(int fd, long address, long count, long offset);

    private static native long pwrite(int fd, long address, long count, long offset);

    private static native long preadv2(int fd, long iov, int count, long offset, int flags);

    private static native long pwritev2(int fd, long iov, int count, long offset, int flags);

    private static native long read(int fd, long address, long count);

    private static native long write(int fd, long address, long count);

    private static native long lseek(int fd, long offset, int whence);

    private static native int ioctl(int fd, long request, long argument);

    private static native int fcntl(int fd, int command, long argument);

    private static native int flock(int fd, int operation);

    private static native long mmap(long address, long length, int protection, int flags, int fd, long offset);

    private static native int munmap(long address, long length);

    private static native int madvise(long address, long length, int advice);

    private static native int memfd_create(byte[] name, int flags);

    private static native int statx(int directory, byte[] path, int flags, int mask, long address);

    private static native int eventfd(int initial, int flags);

    private static byte[] cString(String text) {
        return (text + '\0').getBytes(StandardCharsets.UTF_8);
    }

    private static int errno() {
        return Native.getLastError();
    }

    private static Fd checkedFd(int result, String call, String argument) throws NativeException {
        if (result < 0) {
            throw new NativeException(call, argument, errno());
        }
        return new Fd(result);
    }

    private static void check(int result, String call, String argument) throws NativeException {
        if (result < 0) {
            throw new NativeException(call, argument, errno());
        }
    }

    /**
     * Opens a file, always with {@code O_CLOEXEC}.
     *
     * @param flags {@link #O_RDONLY} or {@link #O_RDWR}, with {@link #O_CREAT}, {@link #O_EXCL}, {@link #directFlag()}
     * @param mode permission bits of a file that is created
     * @return the descriptor, owned by the caller
     */
    public static Fd openFile(String path, int flags, int mode) throws NativeException {
        if (path.indexOf('\0') >= 0) {
            throw new NativeException("open", path.replace('\0', '?') + ", a zero byte in the path", Errno.EINVAL);
        }
        return checkedFd(open(cString(path), flags | O_CLOEXEC, mode), "open", path);
    }

    /** {@code close(2)}, for {@link Fd} only. Returns 0 or {@code -errno}. */
    static int closeNumber(int number) {
        return close(number) < 0 ? -errno() : 0;
    }

    /** Returns this architecture's {@code O_DIRECT} flag for {@link #openFile}. */
    public static int directFlag() {
        return O_DIRECT;
    }

    /** Returns this architecture's {@code O_NOFOLLOW} flag for {@link #openFile}. */
    public static int noFollowFlag() {
        return O_NOFOLLOW;
    }

    /** Sets a file's size; new bytes are a hole. */
    public static void truncate(Fd fd, long sizeBytes) throws NativeException {
        check(ftruncate(fd.number(), sizeBytes), "ftruncate", fd + ", " + sizeBytes);
    }

    /** {@code fallocate(2)}. Returns 0 or {@code -errno}. May wait. */
    public static int allocate(Fd fd, int mode, long offsetBytes, long lengthBytes) {
        return fallocate(fd.number(), mode, offsetBytes, lengthBytes) < 0 ? -errno() : 0;
    }

    /** {@code fdatasync(2)}: data and what is needed to read it back are on stable storage. Returns 0 or {@code -errno}. */
    public static int syncData(Fd fd) {
        return fdatasync(fd.number()) < 0 ? -errno() : 0;
    }

    /** {@code fsync(2)}. Returns 0 or {@code -errno}. */
    public static int sync(Fd fd) {
        return fsync(fd.number()) < 0 ? -errno() : 0;
    }

    /** {@code pread(2)}. Returns bytes read, 0 at the end of the file, or {@code -errno}. */
    public static long readAt(Fd fd, long address, long lengthBytes, long offsetBytes) {
        long result = pread(fd.number(), address, lengthBytes, offsetBytes);
        return result < 0 ? -errno() : result;
    }

    /** {@code pwrite(2)}. Returns bytes written or {@code -errno}. */
    public static long writeAt(Fd fd, long address, long lengthBytes, long offsetBytes) {
        long result = pwrite(fd.number(), address, lengthBytes, offsetBytes);
        return result < 0 ? -errno() : result;
    }

    /**
     * {@code preadv2(2)}.
     *
     * @param iovAddress address of {@code count} {@code struct iovec}: two 64-bit words each, address and length
     * @param flags for example {@link #RWF_NOWAIT}
     * @return bytes read, which may be fewer than asked for, or {@code -errno}
     */
    public static long readVectorAt(Fd fd, long iovAddress, int count, long offsetBytes, int flags) {
        long result = preadv2(fd.number(), iovAddress, count, offsetBytes, flags);
        return result < 0 ? -errno() : result;
    }

    /** {@code pwritev2(2)}; see {@link #readVectorAt}. */
    public static long writeVectorAt(Fd fd, long iovAddress, int count, long offsetBytes, int flags) {
        long result = pwritev2(fd.number(), iovAddress, count, offsetBytes, flags);
        return result < 0 ? -errno() : result;
    }

    /** {@code read(2)}. Returns bytes read or {@code -errno}. */
    public static long readBytes(Fd fd, long address, long lengthBytes) {
        long result = read(fd.number(), address, lengthBytes);
        return result < 0 ? -errno() : result;
    }

    /** {@code write(2)}. Returns bytes written or {@code -errno}. */
    public static long writeBytes(Fd fd, long address, long lengthBytes) {
        long result = write(fd.number(), address, lengthBytes);
        return result < 0 ? -errno() : result;
    }

    /** {@code lseek(2)}, for {@link #SEEK_DATA} and {@link #SEEK_HOLE}. Returns the offset or {@code -errno}. */
    public static long seek(Fd fd, long offsetBytes, int whence) {
        long result = lseek(fd.number(), offsetBytes, whence);
        return result < 0 ? -errno() : result;
    }

    /** {@code ioctl(2)} with an address or a number as its argument. Returns its result or {@code -errno}. */
    public static int control(Fd fd, long request, long argument) {
        int result = ioctl(fd.number(), request, argument);
        return result < 0 ? -errno() : result;
    }

    /**
     * Returns how many bytes a file takes on its file system ({@code statx(2)}): less than its length if it has holes.
     *
     * @throws NativeException if that can't be told
     */
    public static long allocatedBytes(Fd fd) throws NativeException {
        ByteBuffer buffer = ByteBuffer.allocateDirect(STATX_BYTES).order(ByteOrder.nativeOrder());
        check(statx(fd.number(), cString(""), AT_EMPTY_PATH, STATX_BLOCKS, addressOf(buffer)), "statx", fd.toString());
        return buffer.getLong(STX_BLOCKS) * STAT_BLOCK_BYTES;
    }

    /**
     * Takes an advisory lock on the whole open file ({@code flock(2)}) without waiting; it goes with the last descriptor of
     * this open, a killed process included.
     *
     * @return 0, or {@code -errno}: {@code -EAGAIN} when somebody else holds it
     */
    public static int lockExclusive(Fd fd) {
        return flock(fd.number(), LOCK_EX_NB) < 0 ? -errno() : 0;
    }

    /** As {@link #lockExclusive}, but shared with other readers. */
    public static int lockShared(Fd fd) {
        return flock(fd.number(), LOCK_SH_NB) < 0 ? -errno() : 0;
    }

    /**
     * Takes an open file description lock on a byte range ({@code F_OFD_SETLK}) without waiting.
     *
     * @param flockAddress address of a zeroed 32-byte {@code struct flock} with type, start and length filled in
     * @return 0, or {@code -errno}: {@code -EAGAIN} when the range is locked against it
     */
    public static int lockRange(Fd fd, long flockAddress) {
        return fcntl(fd.number(), F_OFD_SETLK, flockAddress) < 0 ? -errno() : 0;
    }

    /**
     * Takes a shared open file description lock on one byte ({@code F_OFD_SETLK}) without waiting. It goes with the last descriptor of this
     * open, a killed process included.
     *
     * @return 0, or {@code -errno}: {@code -EAGAIN} when somebody else holds it exclusively
     */
    public static int lockByteShared(Fd fd, long at) {
        ByteBuffer lock = flockOf(F_RDLCK, at);
        return fcntl(fd.number(), F_OFD_SETLK, addressOf(lock)) < 0 ? -errno() : 0;
    }

    /** Lets go of what {@link #lockByteShared} has taken. Returns 0 or {@code -errno}. */
    public static int unlockByte(Fd fd, long at) {
        ByteBuffer lock = flockOf(F_UNLCK, at);
        return fcntl(fd.number(), F_OFD_SETLK, addressOf(lock)) < 0 ? -errno() : 0;
    }

    /** Returns whether another open file description holds a lock, shared or not, on a byte ({@code F_OFD_GETLK}). */
    public static boolean isByteLocked(Fd fd, long at) {
        ByteBuffer lock = flockOf(F_WRLCK, at);
        return fcntl(fd.number(), F_OFD_GETLK, addressOf(lock)) == 0 && lock.getShort(0) != F_UNLCK;
    }

    /** Makes a {@code struct flock} of 64-bit Linux: type u16 @0, whence u16 @2, start @8, length @16, pid @24. */
    private static ByteBuffer flockOf(int type, long at) {
        return ByteBuffer.allocateDirect(32)
                .order(ByteOrder.nativeOrder())
                .putShort(0, (short) type)
                .putLong(8, at)
                .putLong(16, 1);
    }

    /**
     * Makes an anonymous file in memory, of one byte to begin with, that grows as any file.
     *
     * @param name shown in {@code /proc/PID/maps}
     * @return the descriptor, owned by the caller
     */
    public static Fd growingMemoryFile(String name) throws NativeException {
        Fd fd = checkedFd(memfd_create(cString(name), MFD_CLOEXEC_ALLOW_SEALING), "memfd_create", name);
        try {
            truncate(fd, 1);
            return fd;
        } catch (NativeException e) {
            fd.close();
            throw e;
        }
    }

    /**
     * Makes an anonymous file in memory that can neither grow nor shrink, so that whoever maps it can never meet SIGBUS.
     *
     * @param name shown in {@code /proc/PID/maps}
     * @return the descriptor, owned by the caller
     */
    public static Fd memoryFile(String name, long sizeBytes) throws NativeException {
        Fd fd = checkedFd(memfd_create(cString(name), MFD_CLOEXEC_ALLOW_SEALING), "memfd_create", name);
        try {
            truncate(fd, sizeBytes);
            check(fcntl(fd.number(), F_ADD_SEALS, SEALS_SHRINK_GROW_SEAL), "fcntl", fd + ", F_ADD_SEALS");
            return fd;
        } catch (NativeException e) {
            fd.close();
            throw e;
        }
    }

    /** Makes a non-blocking eventfd with the counter at 0, owned by the caller. */
    public static Fd eventFd() throws NativeException {
        return checkedFd(eventfd(0, EFD_NONBLOCK_CLOEXEC), "eventfd", "0");
    }

    /** Maps a file for reading and writing, shared. Returns the address; see {@link #unmap}. */
    public static long mapShared(Fd fd, long lengthBytes) throws NativeException {
        return checkedMapping(
                mmap(0, lengthBytes, PROT_READ_WRITE, MAP_SHARED, fd.number(), 0), fd + ", " + lengthBytes);
    }

    /** Maps fresh zeroed memory, page-aligned. Returns the address; see {@link #unmap}. */
    public static long mapAnonymous(long lengthBytes) throws NativeException {
        return checkedMapping(
                mmap(0, lengthBytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "anonymous, " + lengthBytes);
    }

    private static long checkedMapping(long address, String argument) throws NativeException {
        if (address == -1) {
            throw new NativeException("mmap", argument, errno());
        }
        return address;
    }

    /** Unmaps what {@link #mapShared} or {@link #mapAnonymous} returned. */
    public static void unmap(long address, long lengthBytes) {
        if (munmap(address, lengthBytes) < 0) {
            throw new IllegalStateException(
                    "munmap(0x" + Long.toHexString(address) + ", " + lengthBytes + "): " + Errno.describe(errno()));
        }
    }

    /**
     * Gives the memory behind whole pages of an anonymous mapping back to the system; they stay mapped and read as zeroes. Others
     * may read and write them meanwhile: each page is the old one or a zeroed one.
     *
     * @param address page-aligned
     * @param lengthBytes a multiple of the page size
     */
    public static void releasePages(long address, long lengthBytes) {
        if (madvise(address, lengthBytes, MADV_DONTNEED) < 0) {
            throw new IllegalStateException("madvise(0x" + Long.toHexString(address) + ", " + lengthBytes
                    + ", MADV_DONTNEED): " + Errno.describe(errno()));
        }
    }

    /**
     * Asks for small pages only in a mapping, so that one written byte costs one page of memory. Only a wish: a kernel without huge
     * pages refuses, and needs no telling.
     */
    public static void avoidHugePages(long address, long lengthBytes) {
        madvise(address, lengthBytes, MADV_NOHUGEPAGE);
    }

    /** Returns the address of a direct buffer's first byte (index 0). Valid while the buffer is reachable. */
    public static long addressOf(ByteBuffer direct) {
        return Pointer.nativeValue(
                Native.getDirectBufferPointer(direct.duplicate().clear()));
    }

    /** Fills memory of the caller's with zeroes. */
    public static void zeroMemory(long address, long lengthBytes) {
        new Pointer(address).setMemory(0, lengthBytes, (byte) 0);
    }

    /**
     * Views raw memory as a direct buffer in native byte order. The buffer does not keep the memory alive.
     *
     * @param lengthBytes at most 2 GiB - 1
     */
    public static ByteBuffer view(long address, int lengthBytes) {
        return new Pointer(address).getByteBuffer(0, lengthBytes).order(ByteOrder.nativeOrder());
    }

    /** {@code open(2)}: calls on the descriptor never wait. */
    public static final int O_NONBLOCK = 0x800;

    /** As {@link #mapShared}, from an offset on: a driver may tell its mappings apart by it. */
    public static long mapSharedAt(Fd fd, long offsetBytes, long lengthBytes) throws NativeException {
        return checkedMapping(
                mmap(0, lengthBytes, PROT_READ_WRITE, MAP_SHARED, fd.number(), offsetBytes),
                fd + ", " + lengthBytes + " bytes at " + offsetBytes);
    }
}
