/**
 * Requests, responses, hooks, stages, chains, disks and sessions: the heart of blocktap.
 *
 * <p>Start at {@link io.blocktap.pipeline.BlockRequest}, then {@link io.blocktap.pipeline.RequestHook} and
 * {@link io.blocktap.pipeline.Verdict}, {@link io.blocktap.pipeline.Stage}, {@link io.blocktap.pipeline.RequestStream} (walks a
 * request down and its response up) and {@link io.blocktap.pipeline.Disk}. A tap channel's Netty pipeline ends in a
 * {@link io.blocktap.pipeline.ChainHandler}.
 *
 * <p>Threads: a request belongs to the event loop of the channel it came from; all its hooks run there. Stolen requests may be
 * completed from any thread. A stage is confined to one loop unless it says otherwise ({@link io.blocktap.pipeline.Stage#sharing}).
 */
@NullMarked
package io.blocktap.pipeline;

import org.jspecify.annotations.NullMarked;
