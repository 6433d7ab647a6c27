package io.blocktap.launcher.config;

import io.blocktap.launcher.server.DiskSpec;
import io.blocktap.launcher.server.ServerSettings;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a configuration file says. The words of taps and chains are not looked at yet; they remember where they stand.
 *
 * @param settings of the server
 * @param plugins the directory of plugins, relative to the current directory; null if there is none
 * @param modules names of classes
 * @param taps in the order of the file
 * @param disks in the order of the file
 */
public record ConfigFile(
        ServerSettings settings,
        @Nullable Path plugins,
        List<String> modules,
        List<DiskSpec.Word> taps,
        List<DiskSpec> disks) {

    /** Copies the lists. */
    public ConfigFile {
        modules = List.copyOf(modules);
        taps = List.copyOf(taps);
        disks = List.copyOf(disks);
    }

    /**
     * Reads a file.
     *
     * @throws ConfigException if it says something wrong: every mistake is a line {@code FILE:LINE:COLUMN: what} of the message
     * @throws StageException if it can not be read
     */
    public static ConfigFile read(Path file) throws ConfigException, StageException {
        try {
            return parse(file.toString(), Files.readString(file));
        } catch (NoSuchFileException e) {
            throw new StageException(file + ": no such file", e);
        } catch (MalformedInputException e) {
            throw new StageException(file + ": not UTF-8 text", e);
        } catch (IOException e) {
            throw new StageException(file + ": cannot be read: " + e, e);
        }
    }

    /**
     * Reads a text.
     *
     * @param name stands in messages
     * @param text YAML
     */
    public static ConfigFile parse(String name, String text) throws ConfigException {
        return new ConfigReader(name).read(text);
    }
}
