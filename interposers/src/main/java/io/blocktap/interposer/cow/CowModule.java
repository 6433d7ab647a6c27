package io.blocktap.interposer.cow;

import io.blocktap.pipeline.StageModule;

/** Contributes the interposer {@code cow}. */
public final class CowModule extends StageModule {
    @Override
    protected void configure() {
        bindStage(CowFactory.NAME).to(CowFactory.class);
    }
}
