package io.blocktap.launcher.server;

import com.google.inject.Provider;
import com.google.inject.multibindings.Multibinder;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageModule;
import java.util.ArrayList;
import java.util.List;

/**
 * A Guice module that composes disks, and may contribute stages and taps as well. For {@code blocktap serve --module CLASS} and {@link
 * BlocktapServer.Builder#modules}.
 *
 * <pre>{@code
 * public final class MyDisks extends DisksModule {
 *     protected void configure() {
 *         disk("vm1").chain("dump image:vm1.img");
 *         disk("vm2").stage(Watch.class).stage("image:vm2.img");
 *     }
 * }
 * }</pre>
 */
public abstract class DisksModule extends StageModule {
    /**
     * Starts a disk. Its chain is read when the server is put together, after all modules were configured.
     *
     * @param name what clients ask for; empty for the default disk
     */
    protected final DiskBuilder disk(String name) {
        DiskBuilder builder = new DiskBuilder(name, getClass().getName() + ", disk '" + name + "'");
        Multibinder.newSetBinder(binder(), DiskSpec.class).addBinding().toProvider(builder::build);
        return builder;
    }

    /** Collects the stages of one disk, from the tap down. */
    public final class DiskBuilder {
        private final String name;
        private final String where;
        private final List<DiskSpec.Part> parts = new ArrayList<>();

        private DiskBuilder(String name, String where) {
            this.name = name;
            this.where = where;
        }

        /** Adds stages by a chain in one string: {@code "dump image:disk.img"}. */
        public DiskBuilder chain(String chain) {
            DiskSpec.split(chain).forEach(this::stage);
            return this;
        }

        /** Adds a stage by its word: {@code "image:disk.img,direct"}. */
        public DiskBuilder stage(String word) {
            parts.add(new DiskSpec.Word(word, ""));
            return this;
        }

        /** Adds a stage that the injector makes, with whatever is injected into it; it must not be a singleton. */
        public DiskBuilder stage(Class<? extends Stage> type) {
            Provider<? extends Stage> provider = getProvider(type);
            parts.add(new DiskSpec.Made(type.getSimpleName(), provider::get));
            return this;
        }

        private DiskSpec build() {
            return new DiskSpec(name, where, parts);
        }
    }
}
