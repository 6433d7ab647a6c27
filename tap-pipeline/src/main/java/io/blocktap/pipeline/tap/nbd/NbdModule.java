package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.StageModule;

/** Contributes the NBD tap. */
public final class NbdModule extends StageModule {
    @Override
    protected void configure() {
        bindTap(NbdTapFactory.NAME).to(NbdTapFactory.class);
    }
}
