package io.blocktap.launcher.load;

import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.StageText;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;

/**
 * Where a client connects, read from a URI as taps print them.
 *
 * @param protocol how to speak
 * @param place path of the unix socket, HOST:PORT, or the backend's directory in xenstore
 * @param disk the disk's name; empty for the default one
 */
public record Target(Protocol protocol, String place, String disk) {
    /** How to speak. */
    public enum Protocol {
        /** A ring in shared memory, arranged over a unix socket. */
        LOOPBACK,
        /** A Xen ring within one domain, arranged over xenstore. */
        XEN,
        /** NBD over a unix socket. */
        NBD_UNIX,
        /** NBD over TCP. */
        NBD_TCP
    }

    private static final String FORMS =
            "; write nbd+unix:///DISK?socket=PATH, nbd://HOST:PORT/DISK or loopback:unix=PATH,disk=DISK or"
                    + " xen:/local/domain/0/backend/bench,disk=DISK";

    /**
     * Reads a URI.
     *
     * @throws ConfigException if it is none of the known forms
     */
    public static Target parse(String uri) throws ConfigException {
        if (uri.startsWith("loopback:")) {
            return ring(uri, Protocol.LOOPBACK, "unix");
        }
        if (uri.startsWith("xen:")) {
            return ring(uri, Protocol.XEN, "directory");
        }
        try {
            URI parsed = new URI(uri);
            String path = parsed.getPath() == null ? "" : parsed.getPath().replaceFirst("^/", "");
            if ("nbd+unix".equals(parsed.getScheme())) {
                return new Target(Protocol.NBD_UNIX, socket(uri, parsed.getRawQuery()), path);
            } else if ("nbd".equals(parsed.getScheme()) && parsed.getHost() != null) {
                int port = parsed.getPort() < 0 ? 10809 : parsed.getPort();
                return new Target(Protocol.NBD_TCP, parsed.getHost() + ":" + port, path);
            }
        } catch (URISyntaxException e) {
            throw new ConfigException("'" + uri + "': " + e.getReason() + FORMS);
        }
        throw new ConfigException("'" + uri + "': not a URI that can be driven" + FORMS);
    }

    private static String socket(String uri, String query) throws ConfigException {
        if (query != null) {
            for (String piece : query.split("&")) {
                if (piece.startsWith("socket=")) {
                    String value = piece.substring("socket=".length()).replace("+", "%2B");
                    return URLDecoder.decode(value, StandardCharsets.UTF_8);
                }
            }
        }
        throw new ConfigException("'" + uri + "': it names no socket" + FORMS);
    }

    private static Target ring(String uri, Protocol protocol, String key) throws ConfigException {
        String place = "";
        String disk = "";
        for (StageText.Setting setting : StageText.parse(uri).settings()) {
            if (setting.key().isEmpty() || setting.key().equals(key)) {
                place = setting.value();
            } else if (setting.key().equals("disk")) {
                disk = setting.value();
            } else {
                throw new ConfigException("'" + uri + "': no '" + setting.key() + "' here" + FORMS);
            }
        }
        if (place.isEmpty()) {
            throw new ConfigException(
                    "'" + uri + "': it names no " + (protocol == Protocol.XEN ? key : "socket") + FORMS);
        }
        return new Target(protocol, place, disk);
    }
}
