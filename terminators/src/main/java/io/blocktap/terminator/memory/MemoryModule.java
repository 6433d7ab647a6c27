package io.blocktap.terminator.memory;

import io.blocktap.pipeline.StageModule;

/** Contributes the terminator {@code memory}. */
public final class MemoryModule extends StageModule {
    @Override
    protected void configure() {
        bindStage("memory").to(MemoryFactory.class);
    }
}
