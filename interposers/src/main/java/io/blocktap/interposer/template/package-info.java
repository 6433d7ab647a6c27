/**
 * The interposer {@code count}: counts requests by operation. It is here to be copied: the smallest interposer that is complete, in
 * the four classes that every stage has.
 *
 * <p>{@link io.blocktap.interposer.template.CountInterposer} does the work, {@link io.blocktap.interposer.template.CountConfig} holds
 * its settings, {@link io.blocktap.interposer.template.CountFactory} makes it from a word of a chain, and
 * {@link io.blocktap.interposer.template.CountModule} registers it. docs/write-a-stage.md walks through them.
 *
 * <p>Threads: any number of event loops at a time.
 */
@NullMarked
package io.blocktap.interposer.template;

import org.jspecify.annotations.NullMarked;
