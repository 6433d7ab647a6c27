package io.blocktap.pipeline.codec.gnbd;

/** The numbers of the protocol, by their names in the original. */
public final class Gnbd {
    /** The port that servers listen on unless told otherwise. */
    public static final int DEFAULT_PORT = 14567;
    /** The only version there is; it did not change when the layout did. */
    public static final int VERSION = 2;

    /** Lists the exports. */
    public static final int NAMES = 1;
    /** Ends all sessions of a node, and lets it log in no more. */
    public static final int FENCE = 2;
    /** Takes back {@link #FENCE}. */
    public static final int UNFENCE = 3;
    /** Lists the nodes that are fenced. */
    public static final int LIST_BANNED = 4;
    /** Ends the sessions of a node with an export. */
    public static final int KILL_GSERV = 5;
    /** Begins a session; the connection is the session's from then on. */
    public static final int LOGIN = 6;
    /** Asks for the server's own name. */
    public static final int NODENAME = 7;
    /** Asks for an export's id. */
    public static final int UID = 8;

    /** Reads a range. */
    public static final int READ = 0;
    /** Writes a range. */
    public static final int WRITE = 1;
    /** Ends the session. */
    public static final int DISC = 2;
    /** Asks for a sign of life. */
    public static final int PING = 3;

    /** Begins a data request. */
    public static final int REQUEST_MAGIC = 0x37a07e00;
    /** Begins a reply to one. */
    public static final int REPLY_MAGIC = 0x41f09370;
    /** Begins a message of a reply's length that answers nothing; all else in it is undefined. */
    public static final int KEEP_ALIVE_MAGIC = 0x5b46d8c2;
    /** The most that one request may read or write, in bytes. */
    public static final int MAX_DATA_BYTES = 131072;
    /** The only error that a reply of the data side tells. */
    public static final int ERROR = -1;

    /** The unit of a disk's size. */
    public static final int SECTOR_BYTES = 512;
    /** Bytes of a field that holds an export's name, NUL-padded. */
    public static final int DEVICE_BYTES = 32;
    /** Bytes of a field that holds a node's name, NUL-padded. */
    public static final int NODE_BYTES = 65;

    /** Flag of an export that can only be read. */
    public static final int FLAG_READ_ONLY = 1;

    // Error numbers of the control side: Linux's.

    /** The node is fenced. */
    public static final int EPERM = 1;
    /** The server can not do it now. */
    public static final int EAGAIN = 11;
    /** The export can not be used now. */
    public static final int EBUSY = 16;
    /** There is no such export. */
    public static final int ENODEV = 19;
    /** The version is another. */
    public static final int EINVAL = 22;
    /** The server remembers no more nodes. */
    public static final int ENOSPC = 28;
    /** The server is going down. */
    public static final int ESHUTDOWN = 108;

    private Gnbd() {}
}
