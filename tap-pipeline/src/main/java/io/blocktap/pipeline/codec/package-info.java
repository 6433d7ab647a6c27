/** Codecs: what turns slots and frames of a protocol into requests, and responses back. One package for each protocol. No native code. */
@NullMarked
package io.blocktap.pipeline.codec;

import org.jspecify.annotations.NullMarked;
