package io.blocktap.interposer.template;

import io.blocktap.pipeline.StageModule;

/** Contributes the interposer {@code count}. */
public final class CountModule extends StageModule {
    @Override
    protected void configure() {
        bindStage("count").to(CountFactory.class);
    }
}
