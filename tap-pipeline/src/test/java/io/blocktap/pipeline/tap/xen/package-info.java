/** Tests of the Xen tap that need no Xen. */
@NullMarked
package io.blocktap.pipeline.tap.xen;

import org.jspecify.annotations.NullMarked;
