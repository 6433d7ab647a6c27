package io.blocktap.terminator.image;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.file.BlockFile;
import java.util.List;

/** Makes {@link ImageTerminator}s. */
public final class ImageFactory implements StageFactory {
    static final String NAME = "image";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public Kind kind() {
        return Kind.TERMINATOR;
    }

    @Override
    public String summary() {
        return "A raw image file or a block device.";
    }

    @Override
    public List<OptionSpec> options() {
        return ImageConfig.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) throws StageException {
        ImageConfig config = ImageConfig.of(values);
        if (config.createBytes() == 0) {
            throw new StageException("image: size=0; a disk has at least one byte");
        }
        if (config.createBytes() > 0 && config.access() == BlockFile.Access.READ_ONLY) {
            throw new StageException("image: size= makes an image to be written, read-only forbids it; leave one out");
        }
        return new ImageTerminator(config);
    }
}
