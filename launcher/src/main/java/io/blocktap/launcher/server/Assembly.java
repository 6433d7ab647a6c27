package io.blocktap.launcher.server;

import com.google.inject.Binding;
import com.google.inject.ConfigurationException;
import com.google.inject.CreationException;
import com.google.inject.Guice;
import com.google.inject.Injector;
import com.google.inject.Key;
import com.google.inject.Module;
import com.google.inject.ProvisionException;
import com.google.inject.TypeLiteral;
import com.google.inject.multibindings.MapBinder;
import com.google.inject.multibindings.MapBinderBinding;
import com.google.inject.multibindings.Multibinder;
import com.google.inject.multibindings.MultibinderBinding;
import com.google.inject.multibindings.MultibindingsTargetVisitor;
import com.google.inject.multibindings.OptionalBinderBinding;
import com.google.inject.spi.DefaultBindingTargetVisitor;
import com.google.inject.spi.Element;
import com.google.inject.spi.Elements;
import com.google.inject.spi.Message;
import com.google.inject.util.Types;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.TapFactory;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Puts the modules of blocktap, of plugins and of the user into one injector, and reads off what they contribute. */
public final class Assembly {
    private static final TypeLiteral<Map<String, StageFactory>> STAGES = mapOf(StageFactory.class);
    private static final TypeLiteral<Map<String, TapFactory>> TAPS = mapOf(TapFactory.class);

    private final StageCatalog catalog;
    private final List<DiskSpec> disks;

    private Assembly(StageCatalog catalog, Collection<DiskSpec> disks) {
        this.catalog = catalog;
        this.disks = List.copyOf(disks);
    }

    /**
     * Puts everything together.
     *
     * @param plugins what the jars bring
     * @param modules the user's own
     * @throws StageException if two of them bring the same name, or Guice finds a mistake: one line that says who
     */
    public static Assembly of(Plugins plugins, List<Module> modules) throws StageException {
        Collector collector = new Collector();
        try {
            collector.add(StageCatalog.BUILT_IN, BuiltinModules.all());
            for (Plugins.Plugin plugin : plugins.all()) {
                collector.add("plugin " + plugin.jarName(), plugin.modules());
            }
            for (Module module : modules) {
                collector.add(module.getClass().getName(), List.of(module));
            }
            Injector injector = Guice.createInjector(binder -> {
                MapBinder.newMapBinder(binder, String.class, StageFactory.class);
                MapBinder.newMapBinder(binder, String.class, TapFactory.class);
                Multibinder.newSetBinder(binder, DiskSpec.class);
                collector.modules.forEach(binder::install);
            });
            Map<String, StageFactory> stages = injector.getInstance(Key.get(STAGES));
            Map<String, TapFactory> taps = injector.getInstance(Key.get(TAPS));
            checkNames(stages, StageFactory::name, collector.stages);
            checkNames(taps, TapFactory::name, collector.taps);
            Set<DiskSpec> disks =
                    new LinkedHashSet<>(injector.getInstance(Key.get(new TypeLiteral<Set<DiskSpec>>() {})));
            return new Assembly(new StageCatalog(stages, taps, collector.stages, collector.taps), disks);
        } catch (CreationException e) {
            throw failure(e.getErrorMessages(), e);
        } catch (ConfigurationException e) {
            throw failure(e.getErrorMessages(), e);
        } catch (ProvisionException e) {
            throw failure(e.getErrorMessages(), e);
        }
    }

    /** Returns the stages and taps there are. */
    public StageCatalog catalog() {
        return catalog;
    }

    /** Returns the disks that modules have composed. */
    public List<DiskSpec> disks() {
        return disks;
    }

    private static StageException failure(Collection<Message> messages, Throwable cause) {
        Message first = messages.iterator().next();
        Throwable root = first.getCause();
        String text = String.valueOf(first.getMessage()).lines().findFirst().orElse("");
        String more = messages.size() > 1 ? " (and " + (messages.size() - 1) + " more; --verbose shows them)" : "";
        String why = root == null ? "" : ": " + root;
        return new StageException("Guice: " + text + why + ", at " + first.getSource() + more, cause);
    }

    private static <T> void checkNames(
            Map<String, T> bound, java.util.function.Function<T, String> nameOf, Map<String, String> origins)
            throws StageException {
        for (Map.Entry<String, T> entry : bound.entrySet()) {
            String own = nameOf.apply(entry.getValue());
            String from = origins.getOrDefault(entry.getKey(), StageCatalog.BUILT_IN);
            if (!entry.getKey().equals(own)) {
                throw new StageException(from + " binds '" + entry.getKey() + "' to a factory that is named '" + own
                        + "'; use one name");
            }
            if (!own.matches("[a-z][a-z0-9-]*")) {
                throw new StageException(from + " names a stage '" + own
                        + "', which a chain can not hold; use lower case letters, digits and dashes");
            }
        }
    }

    @SuppressWarnings("unchecked")
    private static <T> TypeLiteral<Map<String, T>> mapOf(Class<T> type) {
        return (TypeLiteral<Map<String, T>>) TypeLiteral.get(Types.mapOf(String.class, type));
    }

    /** Runs modules once, keeps what they bind, and notes who brings which name. */
    private static final class Collector {
        private final List<Module> modules = new ArrayList<>();
        private final Map<String, String> stages = new HashMap<>();
        private final Map<String, String> taps = new HashMap<>();

        void add(String origin, List<Module> added) throws StageException {
            List<Element> elements;
            try {
                elements = Elements.getElements(added);
            } catch (LinkageError e) {
                throw new StageException(origin + ": " + e, e);
            }
            note("stage", origin, namesIn(elements, STAGES), stages);
            note("tap", origin, namesIn(elements, TAPS), taps);
            modules.add(Elements.getModule(elements));
        }

        private static void note(String kind, String origin, Set<String> names, Map<String, String> origins)
                throws StageException {
            for (String name : names) {
                String other = origins.putIfAbsent(name, origin);
                if (other != null) {
                    throw new StageException(origin + " brings a " + kind + " '" + name + "', which is there already ("
                            + other + "); rename it");
                }
            }
        }

        private static Set<String> namesIn(List<Element> elements, TypeLiteral<?> mapType) {
            Set<String> names = new LinkedHashSet<>();
            for (Element element : elements) {
                if (element instanceof Binding<?> binding
                        && binding.getKey().getTypeLiteral().equals(mapType)) {
                    names.addAll(keysOf(binding, elements));
                }
            }
            return names;
        }

        private static <T> Set<String> keysOf(Binding<T> binding, List<Element> elements) {
            return binding.acceptTargetVisitor(new MapKeys<T>(elements));
        }
    }

    /** Reads the keys of a map binder. */
    private static final class MapKeys<T> extends DefaultBindingTargetVisitor<T, Set<String>>
            implements MultibindingsTargetVisitor<T, Set<String>> {
        private final List<Element> elements;

        MapKeys(List<Element> elements) {
            this.elements = elements;
        }

        @Override
        public Set<String> visit(MapBinderBinding<? extends T> map) {
            Set<String> keys = new LinkedHashSet<>();
            map.getEntries(elements).forEach(entry -> keys.add(String.valueOf(entry.getKey())));
            return keys;
        }

        @Override
        public Set<String> visit(MultibinderBinding<? extends T> set) {
            return Set.of();
        }

        @Override
        public Set<String> visit(OptionalBinderBinding<? extends T> optional) {
            return Set.of();
        }

        @Override
        protected Set<String> visitOther(Binding<? extends T> binding) {
            return Set.of();
        }
    }
}
