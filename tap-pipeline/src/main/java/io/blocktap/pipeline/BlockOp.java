package io.blocktap.pipeline;

/** What a request asks for. */
public enum BlockOp {
    /** Fill the request's data from a range of the disk. */
    READ,
    /** Store the request's data in a range of the disk. */
    WRITE,
    /** Make every write that was answered before this request came in stable. Has no range. */
    FLUSH,
    /** The range's content is not needed any more; what it reads as afterwards is undefined. Has no data. */
    DISCARD,
    /** The range reads as zeroes afterwards. Has no data. */
    WRITE_ZEROES;

    /** Returns whether the request changes the disk's content. */
    public boolean isWrite() {
        return this == WRITE || this == DISCARD || this == WRITE_ZEROES;
    }

    /** Returns whether the request carries data, in either direction. */
    public boolean hasData() {
        return this == READ || this == WRITE;
    }
}
