package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import java.nio.file.attribute.PosixFilePermission;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/** Opens {@link NbdTap}s. */
public final class NbdTapFactory implements TapFactory {
    static final String NAME = "nbd";

    private static final String UNIX = "unix";
    private static final String TCP = "tcp";
    private static final String MODE = "mode";
    private static final String MAX_CONNECTIONS = "max-connections";
    private static final String MAX_REQUESTS = "max-requests";
    private static final String MAX_BYTES = "max-bytes";
    private static final String HANDSHAKE_TIMEOUT = "handshake-timeout";
    private static final String SEND_TIMEOUT = "send-timeout";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String summary() {
        return "an NBD server on a unix socket or a TCP port, for qemu, nbdcopy, the Linux kernel's client and others";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of(
                OptionSpec.optional(
                        UNIX, OptionType.PATH, "the unix socket to listen on, at most 107 bytes; either this or tcp"),
                OptionSpec.optional(
                        TCP,
                        OptionType.HOST_PORT,
                        "the address and port to listen on; port 0 takes a free one; either this or unix"),
                OptionSpec.optional(MODE, OptionType.TEXT, "permissions of the unix socket, three octal digits")
                        .withDefault("0600"),
                OptionSpec.optional(MAX_CONNECTIONS, OptionType.NUMBER, "most connections at a time, 1 to 65536")
                        .withDefault("256"),
                OptionSpec.optional(
                                MAX_REQUESTS, OptionType.NUMBER, "most requests in flight on a connection, 1 to 65536")
                        .withDefault("256"),
                OptionSpec.optional(
                                MAX_BYTES,
                                OptionType.SIZE,
                                "most request data in flight on a connection, in bytes, from 1")
                        .withDefault("64M"),
                OptionSpec.optional(
                                HANDSHAKE_TIMEOUT,
                                OptionType.DURATION,
                                "how long a client may take to choose a disk, 1ms to 60min")
                        .withDefault("10s"),
                OptionSpec.optional(
                                SEND_TIMEOUT,
                                OptionType.DURATION,
                                "how long a client may take nothing of its replies, or send nothing more of a WRITE, 1ms to"
                                        + " 60min; a tenth of it while others wait for memory")
                        .withDefault("60s"));
    }

    @Override
    public void check(OptionValues values) throws StageException {
        endpoint(values).check();
        limits(values);
    }

    @Override
    public Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) throws StageException {
        return NbdTap.open(endpoint(values), limits(values), disks, loops);
    }

    private static NbdEndpoint endpoint(OptionValues values) throws StageException {
        if (values.has(UNIX) == values.has(TCP)) {
            throw new StageException("nbd: needs either unix=PATH or tcp=HOST:PORT, for example nbd:unix=/run/d.sock"
                    + " or nbd:tcp=127.0.0.1:10809");
        }
        return values.has(UNIX)
                ? new UnixEndpoint(values.path(UNIX), mode(values.text(MODE)))
                : new TcpEndpoint(values.hostPort(TCP));
    }

    private static Set<PosixFilePermission> mode(String octal) throws StageException {
        if (!octal.matches("0?[0-7]{3}")) {
            throw new StageException("nbd: mode=" + octal + ": write three octal digits, for example 0660");
        }
        int bits = Integer.parseInt(octal, 8);
        // The enum lists the nine permissions from the owner's "read" down to the others' "execute", as the bits do.
        Set<PosixFilePermission> mode = EnumSet.noneOf(PosixFilePermission.class);
        PosixFilePermission[] all = PosixFilePermission.values();
        for (int i = 0; i < all.length; i++) {
            if ((bits >> all.length - 1 - i & 1) != 0) {
                mode.add(all[i]);
            }
        }
        return mode;
    }

    private static NbdLimits limits(OptionValues values) throws StageException {
        final int most = 65536;
        long maxBytes = values.sizeBytes(MAX_BYTES);
        if (maxBytes < 1) {
            throw new StageException("nbd: max-bytes=0; at least one byte, usually 64M");
        }
        return new NbdLimits(
                (int) bounded(MAX_CONNECTIONS, values.number(MAX_CONNECTIONS), most),
                (int) bounded(MAX_REQUESTS, values.number(MAX_REQUESTS), most),
                maxBytes,
                time(values, HANDSHAKE_TIMEOUT),
                time(values, SEND_TIMEOUT));
    }

    private static Duration time(OptionValues values, String name) throws StageException {
        Duration time = values.duration(name);
        if (time.toMillis() < 1 || time.compareTo(Duration.ofMinutes(60)) > 0) {
            throw new StageException("nbd: " + name + " of " + time.toMillis() + " ms; it is 1ms to 60min");
        }
        return time;
    }

    private static long bounded(String name, long value, int most) throws StageException {
        if (value < 1 || value > most) {
            throw new StageException("nbd: " + name + "=" + value + "; it is 1 to " + most);
        }
        return value;
    }
}
