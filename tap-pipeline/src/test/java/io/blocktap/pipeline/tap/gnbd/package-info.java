@NullMarked
package io.blocktap.pipeline.tap.gnbd;

import org.jspecify.annotations.NullMarked;
