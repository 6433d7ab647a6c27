/**
 * The command line: {@code serve}, {@code stages}, {@code demo}, {@code bench}.
 *
 * <p>Start at {@link io.blocktap.launcher.Main} and {@link io.blocktap.launcher.ServeCommand}. What the commands print for scripts goes to the
 * standard output, the log and all messages to the standard error. Exit codes: 0 well, 1 a failure at run time, 2 a mistake in what
 * the user wrote.
 *
 * <p>No class here has a static logger: the level is set after the arguments were read.
 */
@NullMarked
package io.blocktap.launcher;

import org.jspecify.annotations.NullMarked;
