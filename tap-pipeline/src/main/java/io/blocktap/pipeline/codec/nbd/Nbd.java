package io.blocktap.pipeline.codec.nbd;

/** Numbers of the NBD protocol, spelled as in {@code proto.md}. */
public final class Nbd {
    /** First word of the server's greeting. */
    public static final long NBDMAGIC = 0x4e42444d41474943L;
    /** Second word of the greeting, and first word of every option. */
    public static final long IHAVEOPT = 0x49484156454f5054L;
    /** First word of every option reply. */
    public static final long OPTION_REPLY_MAGIC = 0x0003e889045565a9L;
    /** First word of every request. */
    public static final int REQUEST_MAGIC = 0x25609513;
    /** First word of every simple reply. */
    public static final int SIMPLE_REPLY_MAGIC = 0x67446698;

    /** Handshake flag of both sides: fixed newstyle. */
    public static final int FLAG_FIXED_NEWSTYLE = 1;
    /** Handshake flag of both sides: no 124 zero bytes after EXPORT_NAME. */
    public static final int FLAG_NO_ZEROES = 2;

    /** Option: go to transmission without a reply that could refuse. */
    public static final int OPT_EXPORT_NAME = 1;
    /** Option: end the session. */
    public static final int OPT_ABORT = 2;
    /** Option: list the exports. */
    public static final int OPT_LIST = 3;
    /** Option: begin TLS. */
    public static final int OPT_STARTTLS = 5;
    /** Option: describe an export. */
    public static final int OPT_INFO = 6;
    /** Option: describe an export and go to transmission. */
    public static final int OPT_GO = 7;
    /** Option: structured replies. */
    public static final int OPT_STRUCTURED_REPLY = 8;

    /** Option reply: done. */
    public static final int REP_ACK = 1;
    /** Option reply: one export of the list. */
    public static final int REP_SERVER = 2;
    /** Option reply: one piece of information. */
    public static final int REP_INFO = 3;
    /** Option reply: the server does not know the option. */
    public static final int REP_ERR_UNSUP = 0x80000001;
    /** Option reply: refused by the server's owner. */
    public static final int REP_ERR_POLICY = 0x80000002;
    /** Option reply: malformed. */
    public static final int REP_ERR_INVALID = 0x80000003;
    /** Option reply: no such export. */
    public static final int REP_ERR_UNKNOWN = 0x80000006;
    /** Option reply: the server is going down. */
    public static final int REP_ERR_SHUTDOWN = 0x80000007;
    /** Option reply: too much data. */
    public static final int REP_ERR_TOO_BIG = 0x80000009;

    /** Information: size and transmission flags. */
    public static final int INFO_EXPORT = 0;
    /** Information: the export's name. */
    public static final int INFO_NAME = 1;
    /** Information: the export's description. */
    public static final int INFO_DESCRIPTION = 2;
    /** Information: block sizes. */
    public static final int INFO_BLOCK_SIZE = 3;

    /** Transmission flag: the others are valid. */
    public static final int FLAG_HAS_FLAGS = 1;
    /** Transmission flag: the export can not be written. */
    public static final int FLAG_READ_ONLY = 1 << 1;
    /** Transmission flag: FLUSH is known. */
    public static final int FLAG_SEND_FLUSH = 1 << 2;
    /** Transmission flag: the FUA command flag is known. */
    public static final int FLAG_SEND_FUA = 1 << 3;
    /** Transmission flag: seeks cost time. */
    public static final int FLAG_ROTATIONAL = 1 << 4;
    /** Transmission flag: TRIM is known. */
    public static final int FLAG_SEND_TRIM = 1 << 5;
    /** Transmission flag: WRITE_ZEROES is known. */
    public static final int FLAG_SEND_WRITE_ZEROES = 1 << 6;
    /** Transmission flag: a FLUSH on one connection covers all. */
    public static final int FLAG_CAN_MULTI_CONN = 1 << 8;
    /** Transmission flag: CACHE is known. */
    public static final int FLAG_SEND_CACHE = 1 << 10;
    /** Transmission flag: the FAST_ZERO command flag is known. */
    public static final int FLAG_SEND_FAST_ZERO = 1 << 11;

    /** Command: fill a buffer from a range. */
    public static final int CMD_READ = 0;
    /** Command: store the payload in a range. */
    public static final int CMD_WRITE = 1;
    /** Command: end the session; no reply. */
    public static final int CMD_DISC = 2;
    /** Command: make answered writes stable. */
    public static final int CMD_FLUSH = 3;
    /** Command: a range is not needed any more. */
    public static final int CMD_TRIM = 4;
    /** Command: a range will be needed soon. */
    public static final int CMD_CACHE = 5;
    /** Command: make a range zero. */
    public static final int CMD_WRITE_ZEROES = 6;

    /** Command flag: answer when stable. */
    public static final int CMD_FLAG_FUA = 1;
    /** Command flag of WRITE_ZEROES: leave the range allocated. */
    public static final int CMD_FLAG_NO_HOLE = 1 << 1;
    /** Command flag of WRITE_ZEROES: fail rather than be slow. */
    public static final int CMD_FLAG_FAST_ZERO = 1 << 4;

    /** Error number: not permitted. */
    public static final int EPERM = 1;
    /** Error number: the storage failed. */
    public static final int EIO = 5;
    /** Error number: malformed. */
    public static final int EINVAL = 22;
    /** Error number: no room. */
    public static final int ENOSPC = 28;
    /** Error number: not supported. */
    public static final int ENOTSUP = 95;
    /** Error number: the server is going down. */
    public static final int ESHUTDOWN = 108;

    /** Longest name of an export, in bytes ({@code proto.md}, "Values"). */
    public static final int MAX_NAME_BYTES = 4096;
    /** Largest payload of a READ or WRITE that is served; what clients may assume without asking. */
    public static final int MAX_PAYLOAD_BYTES = 32 << 20;

    private Nbd() {}
}
