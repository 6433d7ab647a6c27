/**
 * File I/O for terminators that keep their data in files or block devices: opening and locking, the operations that may wait, reads that never wait, and
 * io_uring.
 *
 * <p>Start at {@link io.blocktap.pipeline.file.FileEngine}, which does requests, and {@link io.blocktap.pipeline.file.BlockFile}, for work that may wait. The decision behind it: {@code docs/decisions/0003-file-io-engine.md}.
 */
@NullMarked
package io.blocktap.pipeline.file;

import org.jspecify.annotations.NullMarked;
