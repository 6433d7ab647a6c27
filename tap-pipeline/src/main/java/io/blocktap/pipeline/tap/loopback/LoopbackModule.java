package io.blocktap.pipeline.tap.loopback;

import io.blocktap.pipeline.StageModule;

/** Contributes the tap {@code loopback}. */
public final class LoopbackModule extends StageModule {
    @Override
    protected void configure() {
        bindTap(LoopbackTapFactory.NAME).to(LoopbackTapFactory.class);
    }
}
