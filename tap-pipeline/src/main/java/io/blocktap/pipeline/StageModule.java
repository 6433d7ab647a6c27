package io.blocktap.pipeline;

import com.google.inject.AbstractModule;
import com.google.inject.multibindings.MapBinder;

/**
 * A Guice module that contributes stages and taps by name. Each package of stages has one; users write their own to add stages or replace none.
 *
 * <pre>{@code
 * public final class CountModule extends StageModule {
 *     protected void configure() {
 *         bindStage("count").to(CountFactory.class);
 *     }
 * }
 * }</pre>
 */
public abstract class StageModule extends AbstractModule {
    /** Contributes a stage factory under the name that chains use. */
    protected final com.google.inject.binder.LinkedBindingBuilder<StageFactory> bindStage(String name) {
        return MapBinder.newMapBinder(binder(), String.class, StageFactory.class)
                .addBinding(name);
    }

    /** Contributes a tap factory under the name that {@code --tap} uses. */
    protected final com.google.inject.binder.LinkedBindingBuilder<TapFactory> bindTap(String name) {
        return MapBinder.newMapBinder(binder(), String.class, TapFactory.class).addBinding(name);
    }
}
