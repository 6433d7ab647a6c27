package io.blocktap.pipeline;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** A stage that shows what is in one image file, from its first byte to its last, so that other programs can open that instead. */
public interface ImageStage {
    /** Returns the file; null if what is shown is in none this time. */
    @Nullable
    Path imageFile();

    /** Returns its format as QEMU names it: {@code raw}, {@code qcow2}. */
    String imageFormat();
}
