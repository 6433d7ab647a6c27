/**
 * The chain grammar and declared options: text in, checked values or one clear line out.
 *
 * <p>Start at {@link io.blocktap.pipeline.config.ChainParser}, {@link io.blocktap.pipeline.config.OptionSpec} and
 * {@link io.blocktap.pipeline.config.OptionValues}. Any thread; nothing here is used while requests run.
 */
@NullMarked
package io.blocktap.pipeline.config;

import org.jspecify.annotations.NullMarked;
