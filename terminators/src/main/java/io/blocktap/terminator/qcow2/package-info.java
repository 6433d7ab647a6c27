/** The terminator {@code qcow2}: a qcow2 image with its backing chain. */
@NullMarked
package io.blocktap.terminator.qcow2;

import org.jspecify.annotations.NullMarked;
