package io.blocktap.pipeline.codec.nbd;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;

/**
 * Encodes what the server says before the transmission phase. All methods append at the target's writer index.
 *
 * <pre>
 * option reply: | magic u64 | option u32 | type u32 | length u32 | data |
 * </pre>
 */
public final class NbdOptionReply {
    private static final int OLD_PADDING_BYTES = 124;
    private static final int MAX_MESSAGE_CHARS = 1000;

    private NbdOptionReply() {}

    /** Greets a client. */
    public static void greeting(ByteBuf target) {
        target.writeLong(Nbd.NBDMAGIC).writeLong(Nbd.IHAVEOPT).writeShort(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
    }

    private static ByteBuf header(ByteBuf target, int option, int type, int length) {
        return target.writeLong(Nbd.OPTION_REPLY_MAGIC)
                .writeInt(option)
                .writeInt(type)
                .writeInt(length);
    }

    /** Acknowledges an option: the last of its replies. */
    public static void ack(ByteBuf target, int option) {
        header(target, option, Nbd.REP_ACK, 0);
    }

    /** Refuses an option. */
    public static void error(ByteBuf target, int option, int type, String message) {
        byte[] text = message.substring(0, Math.min(message.length(), MAX_MESSAGE_CHARS))
                .getBytes(StandardCharsets.UTF_8);
        header(target, option, type, text.length).writeBytes(text);
    }

    /** Names one export of the list. */
    public static void server(ByteBuf target, int option, String name, String description) {
        byte[] nameBytes = name.getBytes(StandardCharsets.UTF_8);
        byte[] descriptionBytes = description.getBytes(StandardCharsets.UTF_8);
        header(target, option, Nbd.REP_SERVER, Integer.BYTES + nameBytes.length + descriptionBytes.length)
                .writeInt(nameBytes.length)
                .writeBytes(nameBytes)
                .writeBytes(descriptionBytes);
    }

    /** Describes an export: what every client must know, and what this one asked for. */
    public static void infos(ByteBuf target, int option, NbdExport export, NbdOption.Export wanted) {
        header(target, option, Nbd.REP_INFO, Short.BYTES + Long.BYTES + Short.BYTES)
                .writeShort(Nbd.INFO_EXPORT)
                .writeLong(export.sizeBytes())
                .writeShort(export.flags());
        // Told to everybody: a client that does not know it may send requests that are refused.
        header(target, option, Nbd.REP_INFO, Short.BYTES + 3 * Integer.BYTES)
                .writeShort(Nbd.INFO_BLOCK_SIZE)
                .writeInt(export.minimumBlockBytes())
                .writeInt(export.preferredBlockBytes())
                .writeInt(Nbd.MAX_PAYLOAD_BYTES);
        if (wanted.infoTypes().contains(Nbd.INFO_NAME)) {
            text(target, option, Nbd.INFO_NAME, export.name());
        }
        if (wanted.infoTypes().contains(Nbd.INFO_DESCRIPTION)) {
            text(target, option, Nbd.INFO_DESCRIPTION, export.description());
        }
    }

    private static void text(ByteBuf target, int option, int infoType, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        header(target, option, Nbd.REP_INFO, Short.BYTES + bytes.length)
                .writeShort(infoType)
                .writeBytes(bytes);
    }

    /** Answers EXPORT_NAME. */
    public static void exportName(ByteBuf target, NbdExport export, boolean noZeroes) {
        target.writeLong(export.sizeBytes()).writeShort(export.flags());
        if (!noZeroes) {
            target.writeZero(OLD_PADDING_BYTES);
        }
    }
}
