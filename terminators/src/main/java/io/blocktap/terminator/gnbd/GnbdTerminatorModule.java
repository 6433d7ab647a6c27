package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.StageModule;

/** Contributes the terminator {@code gnbd}. */
public final class GnbdTerminatorModule extends StageModule {
    @Override
    protected void configure() {
        bindStage("gnbd").to(GnbdFactory.class);
    }
}
