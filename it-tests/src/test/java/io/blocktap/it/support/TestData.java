package io.blocktap.it.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.SplittableRandom;

/** Bytes to write, and ways to compare them. */
public final class TestData {
    private static final int PIECE_BYTES = 1 << 20;

    private TestData() {}

    /** Returns bytes that depend on the seed alone. */
    public static byte[] bytes(long seed, int length) {
        byte[] data = new byte[length];
        new SplittableRandom(seed).nextBytes(data);
        return data;
    }

    /** Makes a file of bytes that depend on the seed alone. */
    public static Path file(Path file, long seed, int length) {
        try {
            return Files.write(file, bytes(seed, length));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Reads a range of a file. */
    public static byte[] read(Path file, long offset, int length) {
        ByteBuffer buffer = ByteBuffer.allocate(length);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (buffer.hasRemaining() && channel.read(buffer, offset + buffer.position()) >= 0) {
                continue;
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        if (buffer.hasRemaining()) {
            throw new AssertionError(file + " ends at " + (offset + buffer.position()));
        }
        return buffer.array();
    }

    /** Returns the SHA-256 of a file. */
    public static String sha256(Path file) {
        MessageDigest digest = sha256();
        ByteBuffer buffer = ByteBuffer.allocate(PIECE_BYTES);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (channel.read(buffer.clear()) >= 0) {
                digest.update(buffer.flip());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Returns a digest to be filled. */
    public static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }

    /** Returns the bytes of storage that a file takes up. */
    public static long allocatedBytes(Path file) {
        try {
            // Only the view "unix" knows blocks, and not in every Java; stat is on every system.
            return 512
                    * Long.parseLong(
                            Exec.run("stat", "-c", "%b", file).ok().out().trim());
        } catch (NumberFormatException e) {
            throw new AssertionError("stat " + file, e);
        }
    }
}
