/** Work on image files from the command line: what they are, and taking overlays apart. */
@NullMarked
package io.blocktap.launcher.image;

import org.jspecify.annotations.NullMarked;
