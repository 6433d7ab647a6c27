package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.OptionBounds;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdText;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.socket.SocketTransport;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * The settings of the terminator {@code gnbd}.
 *
 * @param host the server's name or address
 * @param port the server's port
 * @param export the disk's name there
 * @param node the name that the server knows this client by
 * @param timeout how long a request may wait for its answer before it fails; zero: for ever
 * @param longestPause the most time between two tries to reach the server
 * @param connections how many sessions there are side by side
 */
record GnbdConfig(
        String host, int port, String export, String node, Duration timeout, Duration longestPause, int connections) {
    private static final String HOST = "host";
    private static final String EXPORT = "export";
    private static final String PORT = "port";
    private static final String NODE = "node";
    private static final String TIMEOUT = "timeout";
    private static final String RECONNECT = "reconnect";
    private static final String CONNECTIONS = "connections";
    private static final int MOST_CONNECTIONS = 16;
    private static final String SHORTEST = "100ms";
    private static final String LONGEST = "1440min";
    private static final Path HOST_NAME = Path.of("/proc/sys/kernel/hostname");

    static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.required(HOST, OptionType.TEXT, "the server's name or address")
                    .first(),
            OptionSpec.required(
                    EXPORT, OptionType.TEXT, "the disk's name there; 'blocktap gnbd list HOST' tells the names"),
            OptionSpec.optional(PORT, OptionType.NUMBER, "the server's port, 1 to 65535")
                    .withDefault("" + Gnbd.DEFAULT_PORT),
            OptionSpec.optional(
                    NODE,
                    OptionType.TEXT,
                    "the name that the server knows this client by, at most 64 bytes; only one client of a name uses an"
                            + " export at a time, a new one ends the other's sessions. This machine's host name by default"),
            OptionSpec.optional(
                    TIMEOUT,
                    OptionType.DURATION,
                    "how long a request may wait for its answer before it fails with an I/O error, 100ms to 1440min; by"
                            + " default it waits until the server is back"),
            OptionSpec.optional(
                            RECONNECT,
                            OptionType.DURATION,
                            "the longest pause between two tries to reach the server, 100ms to 1440min")
                    .withDefault("5s"),
            OptionSpec.optional(
                            CONNECTIONS,
                            OptionType.NUMBER,
                            "sessions side by side, 1 to " + MOST_CONNECTIONS
                                    + "; for servers that serve each session one request after another")
                    .withDefault("1"));

    static GnbdConfig of(OptionValues values) throws StageException {
        String export = values.text(EXPORT);
        if (export.isEmpty() || export.indexOf('/') >= 0 || !GnbdText.fits(export, Gnbd.DEVICE_BYTES)) {
            throw new StageException("gnbd: export=" + export + ": exports have names of 1 to "
                    + (Gnbd.DEVICE_BYTES - 1) + " bytes without '/'; 'blocktap gnbd list HOST' tells them");
        }
        String node = values.has(NODE) ? values.text(NODE) : hostName();
        if (node.isEmpty() || !GnbdText.fits(node, Gnbd.NODE_BYTES)) {
            throw new StageException(
                    "gnbd: node=" + node + ": a node's name has 1 to " + (Gnbd.NODE_BYTES - 1) + " bytes");
        }
        return new GnbdConfig(
                host(values.text(HOST)),
                OptionBounds.number(values, PORT, 1, 65535),
                export,
                node,
                values.has(TIMEOUT) ? time(values, TIMEOUT) : Duration.ZERO,
                time(values, RECONNECT),
                OptionBounds.number(values, CONNECTIONS, 1, MOST_CONNECTIONS));
    }

    private static String host(String text) throws StageException {
        boolean isBracketed = text.startsWith("[") && text.endsWith("]");
        String host = isBracketed ? text.substring(1, text.length() - 1) : text;
        int colon = host.indexOf(':');
        if (!isBracketed && colon >= 0 && colon == host.lastIndexOf(':')) {
            throw new StageException("gnbd: host=" + text + ": the port stands by itself: host="
                    + host.substring(0, colon) + ",port=" + host.substring(colon + 1));
        }
        return host;
    }

    private static Duration time(OptionValues values, String name) throws StageException {
        return OptionBounds.duration(values, name, SHORTEST, LONGEST);
    }

    private static String hostName() throws StageException {
        try {
            String name =
                    Files.readString(HOST_NAME, StandardCharsets.ISO_8859_1).strip();
            return name.length() < Gnbd.NODE_BYTES ? name : name.substring(0, Gnbd.NODE_BYTES - 1);
        } catch (IOException e) {
            throw new StageException("gnbd: the host's name can not be read from " + HOST_NAME + "; say node=NAME", e);
        }
    }

    /** Returns where the server is, for messages. */
    String server() {
        return SocketTransport.hostAndPort(host, port);
    }
}
