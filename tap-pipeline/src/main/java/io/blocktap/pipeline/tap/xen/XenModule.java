package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.StageModule;

/** Contributes the tap {@code xen}. */
public final class XenModule extends StageModule {
    @Override
    protected void configure() {
        bindTap(XenTapFactory.NAME).to(XenTapFactory.class);
    }
}
