package io.blocktap.pipeline;

import java.util.concurrent.CompletableFuture;

/** Takes a stage's new size to its disk. {@link StageContext#resize} tells the rules. */
@FunctionalInterface
public interface Resizer {
    /** Changes what the stage offers to this many bytes. Any thread; never waits. */
    CompletableFuture<Void> resize(long sizeBytes);
}
