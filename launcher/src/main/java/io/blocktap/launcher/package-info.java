/** The command line: reads arguments and configuration, assembles the chains, and starts them. */
@NullMarked
package io.blocktap.launcher;

import org.jspecify.annotations.NullMarked;
