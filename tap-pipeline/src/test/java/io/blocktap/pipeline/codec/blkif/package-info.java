@NullMarked
package io.blocktap.pipeline.codec.blkif;

import org.jspecify.annotations.NullMarked;
