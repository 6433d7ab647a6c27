package io.blocktap.launcher;

import com.google.inject.Module;
import io.blocktap.launcher.config.ConfigFile;
import io.blocktap.launcher.server.Plugins;
import io.blocktap.pipeline.StageException;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Path;
import java.util.ArrayList;
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
            description = "Install your own Guice module, from the class path or a plugin. May be given several times.")
    List<String> modules = new ArrayList<>();

    /** Adds what a configuration file says; the command line wins. */
    void addFrom(ConfigFile file) {
        if (plugins == null) {
            plugins = file.plugins();
        }
        modules.addAll(0, file.modules());
    }

    /** Loads the plugins. */
    Plugins loadPlugins() throws StageException {
        Path directory = plugins;
        return directory == null ? Plugins.NONE : Plugins.load(directory);
    }

    /** Makes the modules. */
    List<Module> makeModules(Plugins loaded) throws StageException {
        List<Module> made = new ArrayList<>();
        for (String name : modules) {
            made.add(make(loaded, name));
        }
        return made;
    }

    private static Module make(Plugins loaded, String name) throws StageException {
        try {
            Class<?> type = loaded.findClass(name)
                    .orElseThrow(
                            () -> new StageException(
                                    "--module " + name
                                            + ": no such class in the plugins and the class path; give its full name, package and all"));
            if (!Module.class.isAssignableFrom(type)) {
                throw new StageException("--module " + name + ": not a " + Module.class.getName());
            }
            return (Module) type.getDeclaredConstructor().newInstance();
        } catch (InvocationTargetException e) {
            throw new StageException("--module " + name + ": " + e.getCause(), e);
        } catch (ReflectiveOperationException e) {
            throw new StageException("--module " + name + ": it needs a public constructor without parameters", e);
        } catch (LinkageError e) {
            throw new StageException("--module " + name + ": " + e, e);
        }
    }
}
