package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.StageModule;

/** Contributes the GNBD tap. */
public final class GnbdModule extends StageModule {
    @Override
    protected void configure() {
        bindTap(GnbdTapFactory.NAME).to(GnbdTapFactory.class);
    }
}
