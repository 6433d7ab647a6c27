package io.blocktap.terminator.qcow2;

import io.blocktap.pipeline.StageModule;

/** Contributes the terminator {@code qcow2}. */
public final class Qcow2Module extends StageModule {
    @Override
    protected void configure() {
        bindStage(Qcow2Factory.NAME).to(Qcow2Factory.class);
    }
}
