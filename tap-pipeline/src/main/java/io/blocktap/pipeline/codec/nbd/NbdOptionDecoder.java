package io.blocktap.pipeline.codec.nbd;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Decodes what a client sends while it haggles: its flags, then options ({@code proto.md}, "Fixed newstyle negotiation").
 *
 * <p>Consumes from the caller's buffer only whole pieces, or pieces that it skips; so the caller keeps the rest, which may already
 * belong to the transmission phase. Bounded: option lengths, skipped bytes and the number of options. Threads: one at a time.
 */
public final class NbdOptionDecoder {
    /** Longest data of an option that is looked at: two names and many information types. */
    public static final int MAX_OPTION_BYTES = 2 * Nbd.MAX_NAME_BYTES;
    /** Longest data of an option that is skipped and answered with an error; more ends the session. */
    public static final int MAX_SKIPPED_BYTES = 1 << 16;
    /** Most options in one session: listing clients ask for each export in turn. */
    public static final int MAX_OPTIONS = 1024;

    private static final int KNOWN_CLIENT_FLAGS = Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES;
    private static final int OPTION_HEADER_BYTES = Long.BYTES + Integer.BYTES + Integer.BYTES;

    private boolean hasFlags;
    private boolean noZeroes;
    private int options;
    private int skip;
    private @Nullable NbdOption afterSkip;

    /** Returns whether the client wants no padding after EXPORT_NAME; valid as soon as an option was decoded. */
    public boolean isNoZeroes() {
        return noZeroes;
    }

    /**
     * Takes the next option out of a buffer.
     *
     * @param in what was received; read from its reader index
     * @return the option, or null if more bytes are needed
     * @throws NbdProtocolException if the session can not go on
     */
    public @Nullable NbdOption next(ByteBuf in) throws NbdProtocolException {
        if (!hasFlags && !readFlags(in)) {
            return null;
        }
        if (afterSkip != null) {
            return skipOn(in);
        }
        if (in.readableBytes() < OPTION_HEADER_BYTES) {
            return null;
        }
        int start = in.readerIndex();
        long magic = in.getLong(start);
        if (magic != Nbd.IHAVEOPT) {
            throw new NbdProtocolException("an option begins with 0x" + Long.toHexString(magic));
        }
        int number = in.getInt(start + Long.BYTES);
        long length = in.getUnsignedInt(start + Long.BYTES + Integer.BYTES);
        String problem = unusable(number, length);
        if (problem != null) {
            count();
            in.skipBytes(OPTION_HEADER_BYTES);
            skip = (int) length;
            afterSkip = wrong(number, isKnown(number) ? Nbd.REP_ERR_TOO_BIG : Nbd.REP_ERR_UNSUP, problem);
            return skipOn(in);
        }
        if (in.readableBytes() < OPTION_HEADER_BYTES + length) {
            return null;
        }
        count();
        in.skipBytes(OPTION_HEADER_BYTES);
        return decode(number, in.readSlice((int) length));
    }

    private boolean readFlags(ByteBuf in) throws NbdProtocolException {
        if (in.readableBytes() < Integer.BYTES) {
            return false;
        }
        int flags = in.readInt();
        if ((flags & ~KNOWN_CLIENT_FLAGS) != 0) {
            throw new NbdProtocolException("unknown client flags 0x" + Integer.toHexString(flags));
        }
        hasFlags = true;
        noZeroes = (flags & Nbd.FLAG_NO_ZEROES) != 0;
        return true;
    }

    private void count() throws NbdProtocolException {
        if (++options > MAX_OPTIONS) {
            throw new NbdProtocolException("more than " + MAX_OPTIONS + " options");
        }
    }

    private static boolean isKnown(int number) {
        return switch (number) {
            case Nbd.OPT_EXPORT_NAME, Nbd.OPT_ABORT, Nbd.OPT_LIST, Nbd.OPT_INFO, Nbd.OPT_GO -> true;
            default -> false;
        };
    }

    /** Returns why an option's data are not looked at, or null if they are. */
    private static @Nullable String unusable(int number, long length) throws NbdProtocolException {
        boolean tooLong = length > MAX_OPTION_BYTES;
        if (length > MAX_SKIPPED_BYTES || tooLong && number == Nbd.OPT_EXPORT_NAME) {
            throw new NbdProtocolException("option " + number + " has " + length + " bytes of data; at most "
                    + (number == Nbd.OPT_EXPORT_NAME ? Nbd.MAX_NAME_BYTES : MAX_SKIPPED_BYTES) + " are read");
        }
        if (!isKnown(number)) {
            return "option " + number + " is not supported";
        }
        return tooLong ? "option " + number + " has " + length + " bytes; at most " + MAX_OPTION_BYTES : null;
    }

    private @Nullable NbdOption skipOn(ByteBuf in) {
        int now = Math.min(skip, in.readableBytes());
        in.skipBytes(now);
        skip -= now;
        if (skip > 0) {
            return null;
        }
        NbdOption option = afterSkip;
        afterSkip = null;
        return option;
    }

    private static NbdOption wrong(int number, int replyType, String message) {
        return new NbdOption(number, new NbdOption.Wrong(replyType, message));
    }

    private static NbdOption decode(int number, ByteBuf data) throws NbdProtocolException {
        switch (number) {
            case Nbd.OPT_EXPORT_NAME -> {
                String name = data.readableBytes() > Nbd.MAX_NAME_BYTES ? null : utf8(data, data.readableBytes());
                if (name == null) {
                    throw new NbdProtocolException("EXPORT_NAME with a name that is too long or not UTF-8");
                }
                return new NbdOption(number, new NbdOption.Export(name, Set.of()));
            }
            case Nbd.OPT_ABORT -> {
                // Data is an error, but the client is going anyway.
                return new NbdOption(number, new NbdOption.Abort());
            }
            case Nbd.OPT_LIST -> {
                return data.isReadable()
                        ? wrong(number, Nbd.REP_ERR_INVALID, "LIST takes no data")
                        : new NbdOption(number, new NbdOption.List());
            }
            default -> {
                return decodeExport(number, data);
            }
        }
    }

    private static NbdOption decodeExport(int number, ByteBuf data) {
        int total = data.readableBytes();
        if (total < Integer.BYTES + Short.BYTES) {
            return wrong(number, Nbd.REP_ERR_INVALID, "too short: " + total + " bytes");
        }
        long nameLength = data.readUnsignedInt();
        if (nameLength > total - Integer.BYTES - Short.BYTES) {
            return wrong(number, Nbd.REP_ERR_INVALID, "a name of " + nameLength + " bytes in " + total);
        }
        if (nameLength > Nbd.MAX_NAME_BYTES) {
            return wrong(number, Nbd.REP_ERR_TOO_BIG, "a name has at most " + Nbd.MAX_NAME_BYTES + " bytes");
        }
        String name = utf8(data, (int) nameLength);
        if (name == null) {
            return wrong(number, Nbd.REP_ERR_INVALID, "the name is not UTF-8");
        }
        int count = data.readUnsignedShort();
        if (data.readableBytes() != count * Short.BYTES) {
            return wrong(
                    number, Nbd.REP_ERR_INVALID, count + " information types in " + data.readableBytes() + " bytes");
        }
        Set<Integer> types = new HashSet<>();
        while (data.isReadable()) {
            types.add(data.readUnsignedShort());
        }
        return new NbdOption(number, new NbdOption.Export(name, types));
    }

    private static @Nullable String utf8(ByteBuf data, int length) {
        ByteBuffer bytes = data.nioBuffer(data.readerIndex(), length);
        data.skipBytes(length);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        } catch (CharacterCodingException e) {
            return null; // said by the caller
        }
    }
}
