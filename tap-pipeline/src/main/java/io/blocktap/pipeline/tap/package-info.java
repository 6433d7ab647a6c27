/** What all taps share. Each kind of tap has a package of its own below. */
@NullMarked
package io.blocktap.pipeline.tap;

import org.jspecify.annotations.NullMarked;
