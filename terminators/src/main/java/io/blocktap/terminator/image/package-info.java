/**
 * The terminator {@code image}: a raw file or block device. Start at {@link io.blocktap.terminator.image.ImageTerminator}; the file I/O itself is in
 * {@code io.blocktap.pipeline.file}.
 */
@NullMarked
package io.blocktap.terminator.image;

import org.jspecify.annotations.NullMarked;
