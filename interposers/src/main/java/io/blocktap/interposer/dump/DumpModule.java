package io.blocktap.interposer.dump;

import io.blocktap.pipeline.StageModule;

/** Contributes the interposer {@code dump}. */
public final class DumpModule extends StageModule {
    @Override
    protected void configure() {
        bindStage("dump").to(DumpFactory.class);
    }
}
