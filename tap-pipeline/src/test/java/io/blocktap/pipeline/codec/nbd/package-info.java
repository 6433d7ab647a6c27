@NullMarked
package io.blocktap.pipeline.codec.nbd;

import org.jspecify.annotations.NullMarked;
