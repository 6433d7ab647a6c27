package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.RequestHook;
import java.nio.ByteBuffer;

/**
 * Where an image lies: a file, for example.
 *
 * <p>As a hook it takes READ and WRITE, perhaps FUA, of ranges of the file, on event loops, and answers them now or later. The other operations may wait, and are for worker threads; they do all that is
 * asked, or fail.
 *
 * <p>READs behind the end give zeroes, WRITEs there make the file longer. Any thread, several at a time.
 */
public interface ImageStorage extends ImageSource, RequestHook {
    /** Writes a direct buffer from its position to its limit. */
    BlockStatus write(ByteBuffer from, long offsetBytes);

    /** Makes all that was written, by either kind of write, and answered before the call, stable. */
    BlockStatus sync();

    /** Returns whether a sync has failed, so that nothing is written any more. */
    default boolean isPoisoned() {
        return false;
    }

    /** Gives a range's storage back. It then reads as anything; if that can't be done it is left as it is. */
    BlockStatus discard(long offsetBytes, long lengthBytes);
}
