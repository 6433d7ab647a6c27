package io.blocktap.launcher.server;

import com.google.inject.Module;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.StageModule;
import io.blocktap.pipeline.TapFactory;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import java.util.jar.JarFile;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Stages, taps and Guice modules out of jars that the project knows nothing of. Each jar has a class loader of its own above
 * blocktap's, and names what it brings in {@code META-INF/services/}. Closing it closes the class loaders; after the last
 * stage was closed.
 */
public final class Plugins implements AutoCloseable {
    /** No plugins. */
    public static final Plugins NONE = new Plugins(List.of());

    /**
     * One jar.
     *
     * @param jarName the file's name, for messages
     * @param loader its classes
     * @param modules what it brings
     */
    record Plugin(String jarName, URLClassLoader loader, List<Module> modules) {}

    private final List<Plugin> plugins;

    private Plugins(List<Plugin> plugins) {
        this.plugins = plugins;
    }

    /**
     * Loads every {@code *.jar} of a directory, in the order of their names.
     *
     * @throws StageException if the directory can not be read, or a jar is broken or brings nothing: one line that names it
     */
    public static Plugins load(Path directory) throws StageException {
        return load(directory, List.of());
    }

    /**
     * Loads every {@code *.jar} of a directory, like {@link #load(Path)}.
     *
     * @param moduleNames classes that are asked for by name: a jar that holds one of them need not say what it brings
     */
    public static Plugins load(Path directory, Collection<String> moduleNames) throws StageException {
        List<Path> jars = new ArrayList<>();
        try (DirectoryStream<Path> found = Files.newDirectoryStream(directory, "*.jar")) {
            found.forEach(jars::add);
        } catch (IOException e) {
            throw new StageException("--plugins " + directory + ": " + readable(e) + "; name a directory of jars", e);
        }
        jars.sort(null);
        Plugins loaded = new Plugins(new ArrayList<>());
        try {
            for (Path jar : jars) {
                loaded.plugins.add(loadJar(jar, moduleNames));
            }
            return loaded;
        } catch (StageException | RuntimeException | Error e) {
            loaded.close();
            throw e;
        }
    }

    private static String readable(IOException e) {
        return e instanceof java.nio.file.NoSuchFileException
                ? "no such directory"
                : e instanceof java.nio.file.NotDirectoryException ? "not a directory" : e.toString();
    }

    private static Plugin loadJar(Path jar, Collection<String> moduleNames) throws StageException {
        String name = String.valueOf(jar.getFileName());
        boolean named;
        try (JarFile opened = new JarFile(jar.toFile())) {
            opened.getManifest(); // says at once if it is no jar; a class loader would be silent
            named = moduleNames.stream()
                    .anyMatch(module -> opened.getEntry(module.replace('.', '/') + ".class") != null);
        } catch (IOException e) {
            throw new StageException("plugin " + name + ": not a readable jar: " + e.getMessage(), e);
        }
        URLClassLoader loader = new URLClassLoader(name, new URL[] {url(jar)}, Plugins.class.getClassLoader());
        boolean good = false;
        try {
            List<Module> modules = new ArrayList<>(services(loader, Module.class));
            List<StageFactory> stages = services(loader, StageFactory.class);
            List<TapFactory> taps = services(loader, TapFactory.class);
            if (modules.isEmpty() && stages.isEmpty() && taps.isEmpty() && !named) {
                throw new StageException(
                        "plugin " + name + ": brings nothing; it names its classes in META-INF/services/"
                                + StageFactory.class.getName() + ", " + TapFactory.class.getName() + " or "
                                + Module.class.getName() + ", or you name its Guice module by --module");
            }
            modules.add(new Services(stages, taps));
            good = true;
            return new Plugin(name, loader, modules);
        } catch (ServiceConfigurationError | RuntimeException | LinkageError e) {
            throw new StageException("plugin " + name + ": " + rootMessage(e), e);
        } finally {
            if (!good) {
                close(loader);
            }
        }
    }

    private static URL url(Path jar) {
        try {
            return jar.toUri().toURL();
        } catch (MalformedURLException e) {
            throw new IllegalStateException(e); // file: is always known
        }
    }

    /** Returns what the jar itself provides, not what its parent does. */
    private static <T> List<T> services(URLClassLoader loader, Class<T> type) {
        return ServiceLoader.load(type, loader).stream()
                .filter(provider -> provider.type().getClassLoader() == loader)
                .map(ServiceLoader.Provider::get)
                .toList();
    }

    private static String rootMessage(Throwable e) {
        Throwable cause = e;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        String message = String.valueOf(cause.getMessage()).lines().findFirst().orElse("");
        return cause instanceof NoClassDefFoundError || cause instanceof ClassNotFoundException
                ? "class " + message.replace('/', '.') + " is missing; put it into the jar"
                : cause instanceof ServiceConfigurationError
                        ? message
                        : cause.getClass().getSimpleName() + ": " + message;
    }

    /** Binds what was found as plain services. */
    private static final class Services extends StageModule {
        private final List<StageFactory> stages;
        private final List<TapFactory> taps;

        Services(List<StageFactory> stages, List<TapFactory> taps) {
            this.stages = stages;
            this.taps = taps;
        }

        @Override
        protected void configure() {
            stages.forEach(factory -> bindStage(factory.name()).toInstance(factory));
            taps.forEach(factory -> bindTap(factory.name()).toInstance(factory));
        }
    }

    List<Plugin> all() {
        return plugins;
    }

    /** Returns whether a jar brings a module of this class by itself. */
    public boolean bring(Class<?> moduleType) {
        return plugins.stream()
                .flatMap(plugin -> plugin.modules().stream())
                .anyMatch(module -> module.getClass() == moduleType);
    }

    /** Finds a class by name, in the plugins first and then in blocktap's class path. */
    public Optional<Class<?>> findClass(String className) {
        List<ClassLoader> loaders = new ArrayList<>();
        plugins.forEach(plugin -> loaders.add(plugin.loader()));
        loaders.add(Plugins.class.getClassLoader());
        for (ClassLoader loader : loaders) {
            try {
                return Optional.of(Class.forName(className, true, loader));
            } catch (ClassNotFoundException e) {
                // look in the next one
            }
        }
        return Optional.empty();
    }

    @Override
    public void close() {
        plugins.forEach(plugin -> close(plugin.loader()));
    }

    private static void close(URLClassLoader loader) {
        try {
            loader.close();
        } catch (IOException e) {
            // Not a static logger: most runs have no plugins, and --help is quicker without logging.
            Logger log = LoggerFactory.getLogger(Plugins.class);
            log.warn("closing plugin {}: {}", loader.getName(), e.toString());
        }
    }
}
