package io.blocktap.pipeline;

import io.netty.buffer.ByteBuf;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * One request to a disk. Recycled: it is valid from the request hook that receives it until it was answered, and never after.
 *
 * <p><b>Data.</b> READ and WRITE carry {@link #data()}, a buffer whose capacity is exactly {@link #lengthBytes()}. The bytes of a WRITE are at
 * indexes 0 to length; they may be the guest's own memory and are not to be changed (a stage that changes them works in a buffer
 * of its own, {@link #swapData}). A READ is answered by filling indexes 0 to length; the writer index does not matter. The
 * request owns the buffer and releases it when the response is out.
 *
 * <p><b>Threads.</b> The event loop of its channel; a stage that has stolen the request may hand it to one other thread at a time. {@link
 * #complete} and {@link #resume} may be called from any thread.
 */
public final class BlockRequest {
    /** Flag of writes: answer only when they are on stable storage. */
    public static final int FUA = 1;
    /** Flag of WRITE_ZEROES: leave the range allocated, don't punch a hole. */
    public static final int KEEP_ALLOCATED = 2;
    /** Flag of WRITE_ZEROES: fail with {@link BlockStatus#UNSUPPORTED} rather than write slowly. */
    public static final int FAST_ONLY = 4;

    static final int FREE = 0;
    static final int WALKING = 1;
    static final int STOLEN = 2;
    static final int ANSWERED_IN_HOOK = 3;
    static final int RESUMED_IN_HOOK = 4;
    static final int ANSWERING = 5;

    private static final int NOT_POSTED = 0;
    private static final int POSTED_ANSWER = 1;
    private static final int POSTED_RESUME = 2;
    private static final VarHandle POSTED;

    static {
        try {
            POSTED = MethodHandles.lookup().findVarHandle(BlockRequest.class, "posted", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final RequestStream stream;
    private final BlockResponse response = new BlockResponse(this);
    private BlockOp op = BlockOp.FLUSH;
    private int flags;
    private long offsetBytes;
    private long lengthBytes;
    private @Nullable ByteBuf data;
    private long cookie;
    private int tapBits;
    private long number;
    private final SegmentList segments = new SegmentList();
    private boolean hasSegments;
    private @Nullable Object tapObject;

    // The walk; the stream's.
    Chain chain = Chain.EMPTY;
    int position;
    int ceiling;

    @Nullable
    BlockRequest parent;

    @Nullable
    SubRequestListener listener;

    WorkerPool.@Nullable Work work;

    int state = FREE;

    @Nullable
    BlockRequest next;

    private volatile int posted;
    private BlockStatus postedStatus = BlockStatus.OK;
    private long[] words = new long[8];
    private @Nullable Object[] attachments = new Object[8];

    BlockRequest(RequestStream stream) {
        this.stream = stream;
    }

    // ---- set up by taps and by stages that issue requests of their own

    /**
     * Describes what is asked for. For whoever got the request from {@link RequestStream#newRequest}.
     *
     * @param newOp the operation
     * @param newFlags {@link #FUA} and so on
     * @param newOffsetBytes start of the range; 0 for FLUSH
     * @param newLengthBytes length of the range; 0 for FLUSH
     */
    public BlockRequest describe(BlockOp newOp, int newFlags, long newOffsetBytes, long newLengthBytes) {
        op = newOp;
        flags = newFlags;
        offsetBytes = newOffsetBytes;
        lengthBytes = newLengthBytes;
        return this;
    }

    /** Gives the request its data, and the buffer's ownership with it. */
    public BlockRequest withData(ByteBuf newData) {
        data = newData;
        return this;
    }

    /** Stores what the tap needs to answer: its protocol's id and some bits of its own. Hooks leave this alone. */
    public BlockRequest withCookie(long newCookie, int newTapBits) {
        cookie = newCookie;
        tapBits = newTapBits;
        return this;
    }

    /** Returns the request's own list of segments, emptied, to be filled by a tap that takes its data from a ring. */
    public SegmentList newSegments() {
        hasSegments = true;
        segments.clear();
        return segments;
    }

    /** Returns the segments of a request from a ring; null if it came otherwise. For the tap, and for hooks that show them. */
    public @Nullable SegmentList segments() {
        return hasSegments ? segments : null;
    }

    /** Keeps an object of the tap's with this request when it is recycled: what each of a tap's requests needs one of. */
    public void keepForTap(@Nullable Object newTapObject) {
        tapObject = newTapObject;
    }

    /** Returns what was stored by {@link #keepForTap}, by this request or an earlier one that had the same object; or null. */
    public @Nullable Object tapObject() {
        return tapObject;
    }

    /** Returns the tap's id of the request, as the frontend gave it. */
    public long cookie() {
        return cookie;
    }

    /** Returns the tap's own bits. */
    public int tapBits() {
        return tapBits;
    }

    // On the hottest path each store of a reference costs a mark for the collector: what does not change is not stored
    // again.

    void begin(Chain newChain, long newNumber) {
        if (chain != newChain) {
            chain = newChain;
            if (words.length < newChain.length()) {
                words = new long[newChain.length()];
                attachments = new Object[newChain.length()];
            }
        }
        number = newNumber;
        position = 0;
        ceiling = 0;
        state = WALKING;
        POSTED.setRelease(this, NOT_POSTED); // no thread but the loop's knows the request now
        response.setStatus(BlockStatus.OK);
    }

    /** Ends the request's life; the chain stays, to be compared with the next one's. */
    void end() {
        state = FREE;
        hasSegments = false;
        if (parent != null) {
            parent = null;
            listener = null;
        }
        ByteBuf owned = data;
        if (owned != null) {
            data = null;
            owned.release();
        }
    }

    // ---- what hooks see

    /** Returns the operation. */
    public BlockOp op() {
        return op;
    }

    /** Returns the flags, a set of {@link #FUA}, {@link #KEEP_ALLOCATED}, {@link #FAST_ONLY}. */
    public int flags() {
        return flags;
    }

    /** Returns whether the write is to be on stable storage before it is answered. */
    public boolean isFua() {
        return (flags & FUA) != 0;
    }

    /** Returns the start of the range, in bytes. */
    public long offsetBytes() {
        return offsetBytes;
    }

    /** Returns the length of the range, in bytes; for READ and WRITE it fits an int. */
    public long lengthBytes() {
        return lengthBytes;
    }

    /** Returns the length of the data of a READ or WRITE. */
    public int dataLength() {
        return (int) lengthBytes;
    }

    /** Moves the request to another place of the same length: for stages that map addresses. */
    public void setOffsetBytes(long newOffsetBytes) {
        offsetBytes = newOffsetBytes;
    }

    /**
     * Returns the data of a READ or WRITE.
     *
     * @throws IllegalStateException if the operation has none
     */
    public ByteBuf data() {
        ByteBuf present = data;
        if (present == null) {
            throw new IllegalStateException(op + " has no data");
        }
        return present;
    }

    /**
     * Exchanges the data buffer, for the stages below; the stage that does so keeps the old one, and puts it back in its response hook.
     *
     * @param replacement of the same capacity; the request owns it from now on
     * @return the former buffer, owned by the caller
     */
    public ByteBuf swapData(ByteBuf replacement) {
        ByteBuf former = data();
        data = replacement;
        return former;
    }

    /** Takes the data buffer out of the request, for a tap that sends it as it is. The caller owns it. */
    public ByteBuf takeData() {
        ByteBuf present = data();
        data = null;
        return present;
    }

    /** Returns the answer, valid from {@link #respond} or {@link #complete} on. */
    public BlockResponse response() {
        return response;
    }

    /** Returns the request's number in its stream, counted from 1: names it in logs. */
    public long number() {
        return number;
    }

    /**
     * Returns the request on whose behalf a stage has issued this one.
     *
     * @throws IllegalStateException if it came from a tap
     */
    public BlockRequest parent() {
        BlockRequest present = parent;
        if (present == null) {
            throw new IllegalStateException(this + " came from a tap");
        }
        return present;
    }

    /** Returns the stream that it came from: session, memory for buffers, event loop. */
    public RequestStream stream() {
        return stream;
    }

    /** Returns a word that the stage whose hook is running has stored for itself in this request; undefined before. */
    public long word() {
        return words[position];
    }

    /** Stores a word for this stage, to be read in its response hook. */
    public void setWord(long value) {
        words[position] = value;
    }

    /** Returns the object that the stage whose hook is running has stored for itself in this request, or null. */
    public @Nullable Object attachment() {
        return attachments[position];
    }

    /** Stores an object for this stage, to be read in its response hook. Store null when done with it. */
    public void attach(@Nullable Object value) {
        attachments[position] = value;
    }

    // ---- answering

    /**
     * Answers the request from within its hook: {@code return request.respond(BlockStatus.OK);}.
     *
     * @return {@link Verdict#RESPOND}
     */
    public Verdict respond(BlockStatus status) {
        response.setStatus(status);
        return Verdict.RESPOND;
    }

    /**
     * Answers a stolen request; the response runs up from the stage that stole it. (In 2005: {@code blktap_inject_response}.)
     * Any thread; the caller must not touch the request afterwards.
     *
     * @throws IllegalStateException if it was answered or resumed already
     */
    public void complete(BlockStatus status) {
        if (stream.inEventLoop()) {
            stream.completeInLoop(this, status);
        } else {
            post(POSTED_ANSWER, status);
        }
    }

    /**
     * Lets a stolen request go on to the next stage, as if its hook had returned {@link Verdict#PASS}. Any thread; the caller
     * must not touch the request afterwards.
     *
     * @throws IllegalStateException if it was answered or resumed already
     */
    public void resume() {
        if (stream.inEventLoop()) {
            stream.resumeInLoop(this);
        } else {
            post(POSTED_RESUME, BlockStatus.OK);
        }
    }

    private void post(int what, BlockStatus status) {
        if (!POSTED.compareAndSet(this, NOT_POSTED, what)) {
            throw new IllegalStateException("answered twice: " + this);
        }
        postedStatus = status;
        stream.post(this);
    }

    /** On the event loop: carries out what another thread has posted. */
    void carryOutPosted() {
        int what = posted;
        POSTED.setRelease(this, NOT_POSTED);
        if (what == POSTED_ANSWER) {
            stream.completeInLoop(this, postedStatus);
        } else {
            stream.resumeInLoop(this);
        }
    }

    @Override
    public String toString() {
        return "#" + number + " " + op + (isFua() ? "+FUA " : " ") + offsetBytes + "+" + lengthBytes;
    }
}
