package io.blocktap.launcher;

import io.blocktap.pipeline.config.ConfigException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Hands out the script that libxl runs for a disk. */
@Command(
        name = "hotplug-script",
        description = "Prints the hot-plug script for xl of Xen 4.19 and later (backendtype=tap), or installs it.",
        footer = {"", "Example:", "  blocktap xen hotplug-script --install /etc/xen/scripts"})
final class XenHotplugScriptCommand implements Callable<Integer>, CommonOptions.Holder {
    private static final String NAME = "block-blocktap";

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Option(
            names = "--install",
            paramLabel = "DIR",
            description = "Write it to DIR/" + NAME + ", executable; xl looks in /etc/xen/scripts.")
    private @Nullable Path directory;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, FailedException {
        common.startLogging("warn");
        Path folder = directory;
        if (folder == null) {
            spec.commandLine().getOut().print(script());
            spec.commandLine().getOut().flush();
            return Main.OK;
        }
        if (!Files.isDirectory(folder)) {
            throw new ConfigException("--install " + folder + ": no such directory; xl looks in /etc/xen/scripts");
        }
        Path file = folder.resolve(NAME);
        try {
            Files.writeString(file, script());
            Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
        } catch (IOException e) {
            throw new FailedException(file + " can not be written: " + e, e);
        }
        spec.commandLine().getOut().println("installed: " + file);
        spec.commandLine().getOut().flush();
        return Main.OK;
    }

    private static String script() throws FailedException {
        try (InputStream resource = XenHotplugScriptCommand.class.getResourceAsStream("xen/" + NAME)) {
            if (resource == null) {
                throw new FailedException("the script is not in this build of blocktap");
            }
            return new String(resource.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new FailedException("the script can not be read: " + e, e);
        }
    }
}
