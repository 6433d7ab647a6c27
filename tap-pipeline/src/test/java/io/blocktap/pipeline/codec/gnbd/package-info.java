@NullMarked
package io.blocktap.pipeline.codec.gnbd;

import org.jspecify.annotations.NullMarked;
