@NullMarked
package io.blocktap.pipeline.file;

import org.jspecify.annotations.NullMarked;
