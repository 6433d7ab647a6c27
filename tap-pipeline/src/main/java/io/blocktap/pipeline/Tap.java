package io.blocktap.pipeline;

import java.util.List;
import java.util.concurrent.CompletableFuture;

/** An open front door. Any thread. */
public interface Tap {
    /**
     * Returns how a client reaches each disk, for people and for the environment of captive commands; for example {@code
     * nbd+unix:///?socket=/run/d.sock}. The default disk comes first.
     */
    List<String> uris();

    /**
     * Takes no new frontends and no new requests; answers those in flight go out still. Frontends that can be told are told.
     *
     * @return completes when no more requests will enter the disks
     */
    CompletableFuture<Void> stopTaking();

    /**
     * Closes all channels, after what was answered has been sent. After the disks were drained.
     *
     * @return completes when all is closed
     */
    CompletableFuture<Void> close();
}
