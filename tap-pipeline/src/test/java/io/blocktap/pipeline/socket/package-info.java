@NullMarked
package io.blocktap.pipeline.socket;

import org.jspecify.annotations.NullMarked;
