package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.OptionBounds;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.socket.SocketLimits;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** Opens {@link NbdTap}s. */
public final class NbdTapFactory implements TapFactory {
    static final String NAME = "nbd";

    private static final String UNIX = "unix";
    private static final String TCP = "tcp";
    private static final String MODE = "mode";
    private static final String HANDSHAKE_TIMEOUT = "handshake-timeout";

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
        List<OptionSpec> own = List.of(
                OptionSpec.optional(
                        UNIX, OptionType.PATH, "the unix socket to listen on, at most 107 bytes; either this or tcp"),
                OptionSpec.optional(
                        TCP,
                        OptionType.HOST_PORT,
                        "the address and port to listen on; port 0 takes a free one; either this or unix"),
                OptionSpec.optional(MODE, OptionType.TEXT, "permissions of the unix socket, three octal digits")
                        .withDefault("0600"),
                OptionSpec.optional(
                                HANDSHAKE_TIMEOUT,
                                OptionType.DURATION,
                                "how long a client may take to choose a disk, 1ms to 60min")
                        .withDefault("10s"));
        return Stream.concat(own.stream(), SocketLimits.OPTIONS.stream()).toList();
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
        return new NbdLimits(
                SocketLimits.of(values),
                OptionBounds.duration(values, HANDSHAKE_TIMEOUT, SocketLimits.SHORTEST, SocketLimits.LONGEST));
    }
}
