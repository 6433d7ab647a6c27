/**
 * The loopback tap as {@code --tap loopback:unix=PATH}: server channel, codec and chain put together. Start at {@link
 * io.blocktap.pipeline.tap.loopback.LoopbackTap}.
 */
@NullMarked
package io.blocktap.pipeline.tap.loopback;

import org.jspecify.annotations.NullMarked;
