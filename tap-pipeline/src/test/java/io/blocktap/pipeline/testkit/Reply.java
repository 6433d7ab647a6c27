package io.blocktap.pipeline.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockStatus;

/**
 * How a request of a test ended.
 *
 * @param request what it was, for messages
 * @param status how it ended
 * @param data what a successful READ has read; empty otherwise
 */
public record Reply(String request, BlockStatus status, byte[] data) {
    /** Fails the test unless the request succeeded. */
    public Reply ok() {
        return with(BlockStatus.OK);
    }

    /** Fails the test unless the request ended in this way. */
    public Reply with(BlockStatus expected) {
        assertThat(status).as(request).isEqualTo(expected);
        return this;
    }
}
