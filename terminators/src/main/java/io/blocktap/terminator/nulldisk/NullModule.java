package io.blocktap.terminator.nulldisk;

import io.blocktap.pipeline.StageModule;

/** Contributes the terminator {@code null}. */
public final class NullModule extends StageModule {
    @Override
    protected void configure() {
        bindStage("null").to(NullFactory.class);
    }
}
