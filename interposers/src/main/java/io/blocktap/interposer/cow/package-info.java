/** The interposer {@code cow}: writes go to an overlay, what is below is never changed (blkcow of 2005). */
@NullMarked
package io.blocktap.interposer.cow;

import org.jspecify.annotations.NullMarked;
