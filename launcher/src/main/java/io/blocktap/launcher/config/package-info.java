/**
 * The configuration file: YAML in, checked settings or one line for each mistake out, with file, line and column.
 *
 * <p>Start at {@link io.blocktap.launcher.config.ConfigFile}; docs/config.md describes the format. Any thread.
 */
@NullMarked
package io.blocktap.launcher.config;

import org.jspecify.annotations.NullMarked;
