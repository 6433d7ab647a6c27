@NullMarked
package io.blocktap.pipeline.tap.nbd;

import org.jspecify.annotations.NullMarked;
