package io.blocktap.terminator.image;

import io.blocktap.pipeline.StageModule;

/** Contributes the terminator {@code image}. */
public final class ImageModule extends StageModule {
    @Override
    protected void configure() {
        bindStage(ImageFactory.NAME).to(ImageFactory.class);
    }
}
