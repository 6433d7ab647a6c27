package io.blocktap.launcher;

import com.google.inject.Module;
import io.blocktap.launcher.config.ConfigFile;
import io.blocktap.launcher.server.Plugins;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options that say where stages come from, beside those that are built in. */
final class StageOptions {
    @Option(
            names = "--plugins",
            paramLabel = "DIR",
            description = "Load stages, taps and Guice modules from every *.jar in DIR.")
    @Nullable
    Path plugins;

    @Option(
            names = "--module",
            paramLabel = "CLASS",
            description =
                    "Install your own Guice module, from a jar in DIR or the class path (BLOCKTAP_CLASSPATH). May be given several"
                            + " times.")
    List<String> modules = new ArrayList<>();

    /** Adds what a configuration file says; the command line wins. */
    void addFrom(ConfigFile file) {
        if (plugins == null) {
            plugins = file.plugins();
        }
        modules.addAll(0, file.modules());
    }

    /** Loads the plugins. */
    Plugins loadPlugins() throws StageException, ConfigException {
        Path directory = plugins;
        if (directory == null) {
            return Plugins.NONE;
        }
        if (!Files.isDirectory(directory)) {
            throw new ConfigException("--plugins " + directory + ": "
                    + (Files.exists(directory) ? "not a directory" : "no such directory")
                    + "; name a directory of jars");
        }
        return Plugins.load(directory, modules);
    }

    /** Makes the modules: each once, however often it was named, and none that a plugin brings by itself. */
    List<Module> makeModules(Plugins loaded) throws StageException, ConfigException {
        List<Module> made = new ArrayList<>();
        for (String name : new LinkedHashSet<>(modules)) {
            Class<?> type = find(loaded, name);
            if (!loaded.bring(type)) {
                made.add(make(type));
            }
        }
        return made;
    }

    private static Class<?> find(Plugins loaded, String name) throws StageException, ConfigException {
        Class<?> type;
        try {
            type = loaded.findClass(name)
                    .orElseThrow(() -> new ConfigException("--module " + name
                            + ": no such class in the plugins and the class path; give its full name, package and all,"
                            + " and its jar by --plugins or BLOCKTAP_CLASSPATH"));
        } catch (LinkageError e) {
            throw new StageException("--module " + name + ": " + e, e);
        }
        if (!Module.class.isAssignableFrom(type)) {
            throw new ConfigException("--module " + name + ": not a " + Module.class.getName());
        }
        return type;
    }

    private static Module make(Class<?> type) throws StageException, ConfigException {
        try {
            return (Module) type.getConstructor().newInstance();
        } catch (InvocationTargetException e) {
            throw new StageException("--module " + type.getName() + ": " + e.getCause(), e);
        } catch (ReflectiveOperationException e) {
            throw new ConfigException("--module " + type.getName()
                    + ": it must be a public class, not abstract, with a public constructor without parameters");
        } catch (LinkageError e) {
            throw new StageException("--module " + type.getName() + ": " + e, e);
        }
    }
}
