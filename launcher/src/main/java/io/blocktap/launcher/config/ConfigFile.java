package io.blocktap.launcher.config;

import io.blocktap.launcher.server.DiskSpec;
import io.blocktap.launcher.server.ServerSettings;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
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

    /** A disk takes about 50 bytes: enough for thousands, and little enough to be read by mistake. */
    private static final int MOST_BYTES = 1 << 20;

    /** Copies the lists. */
    public ConfigFile {
        modules = List.copyOf(modules);
        taps = List.copyOf(taps);
        disks = List.copyOf(disks);
    }

    /**
     * Reads a file, or a pipe.
     *
     * @throws ConfigException if there is none, or it says something wrong: every mistake is a line {@code FILE:LINE:COLUMN: what} of the
     *     message
     * @throws StageException if it can not be read
     */
    public static ConfigFile read(Path file) throws ConfigException, StageException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(MOST_BYTES + 1);
            if (bytes.length > MOST_BYTES) {
                throw new ConfigException(
                        file + ": larger than a configuration file may be, which is " + (MOST_BYTES >> 20) + "M");
            }
            String text = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
            return parse(file.toString(), text);
        } catch (NoSuchFileException e) {
            throw new ConfigException(file + ": no such file");
        } catch (CharacterCodingException e) {
            throw new ConfigException(file + ": not UTF-8 text");
        } catch (IOException e) {
            String why = Files.isDirectory(file) ? "is a directory; name a YAML file" : "cannot be read: " + e;
            throw new StageException(file + ": " + why, e);
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
