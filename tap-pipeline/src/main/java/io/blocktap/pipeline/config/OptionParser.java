package io.blocktap.pipeline.config;

import java.net.InetSocketAddress;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Turns the text of one value into an object of its type, or says what would be right. */
public final class OptionParser {
    private static final Pattern SIZE = Pattern.compile("(\\d{1,19})([kKmMgGtTpP])?(?:iB|B)?");
    private static final Pattern DURATION = Pattern.compile("(\\d{1,12})(ns|us|ms|s|min)");
    private static final String SUFFIXES = "KMGTP";

    private OptionParser() {}

    static Object parse(StageText word, OptionSpec spec, String text) throws ConfigException {
        try {
            return switch (spec.type()) {
                case TEXT -> text;
                case PATH -> path(text);
                case SIZE -> size(text);
                case NUMBER -> number(text);
                case SWITCH -> onOff(text);
                case DURATION -> duration(text);
                case CHOICE -> choice(spec, text);
                case HOST_PORT -> hostPort(text);
            };
        } catch (ConfigException e) {
            throw new ConfigException("'" + word + "': " + spec.name() + "=" + text + ": " + e.getMessage());
        }
    }

    private static Path path(String text) throws ConfigException {
        if (text.isEmpty()) {
            throw new ConfigException("a path can not be empty");
        }
        try {
            return Path.of(text);
        } catch (InvalidPathException e) {
            throw new ConfigException("not a path: " + e.getReason());
        }
    }

    /**
     * Reads a number of bytes.
     *
     * @param text digits with an optional suffix: {@code 512}, {@code 64M}, {@code 1G}
     */
    public static long size(String text) throws ConfigException {
        Matcher matcher = SIZE.matcher(text);
        if (matcher.matches()) {
            String suffix = matcher.group(2);
            int shift = suffix == null ? 0 : 10 * (SUFFIXES.indexOf(Character.toUpperCase(suffix.charAt(0))) + 1);
            try {
                return Math.multiplyExact(Long.parseLong(matcher.group(1)), 1L << shift);
            } catch (ArithmeticException | NumberFormatException e) {
                throw new ConfigException("too large; a size has at most 8 exabytes");
            }
        }
        throw new ConfigException("not a size; write digits and K, M, G, T or P, for example 64M");
    }

    private static Long number(String text) throws ConfigException {
        try {
            return Long.valueOf(text);
        } catch (NumberFormatException e) {
            throw new ConfigException("not a whole number");
        }
    }

    private static Boolean onOff(String text) throws ConfigException {
        return switch (text) {
            case "on", "yes", "true" -> true;
            case "off", "no", "false" -> false;
            default -> throw new ConfigException("write on or off");
        };
    }

    /**
     * Reads a time span.
     *
     * @param text digits and a unit: {@code 10ms}, {@code 5s}
     */
    public static Duration duration(String text) throws ConfigException {
        Matcher matcher = DURATION.matcher(text);
        if (!matcher.matches()) {
            throw new ConfigException("not a time; write digits and ns, us, ms, s or min, for example 10ms");
        }
        long count = Long.parseLong(matcher.group(1));
        return switch (matcher.group(2)) {
            case "ns" -> Duration.ofNanos(count);
            case "us" -> Duration.ofNanos(Math.multiplyExact(count, 1000));
            case "ms" -> Duration.ofMillis(count);
            case "s" -> Duration.ofSeconds(count);
            default -> Duration.ofMinutes(count);
        };
    }

    private static String choice(OptionSpec spec, String text) throws ConfigException {
        if (spec.choices().contains(text)) {
            return text;
        }
        String wanted = "one of " + String.join(", ", spec.choices());
        throw new ConfigException(Suggestions.closest(text, spec.choices())
                .map(near -> "did you mean " + near + "? It is " + wanted)
                .orElse("it is " + wanted));
    }

    private static InetSocketAddress hostPort(String text) throws ConfigException {
        int colon = text.lastIndexOf(':');
        String host = colon < 0 ? text : text.substring(0, colon);
        if (host.startsWith("[") && host.endsWith("]")) {
            host = host.substring(1, host.length() - 1);
        } else if (host.indexOf(':') >= 0) {
            throw new ConfigException("write an IPv6 address in brackets, for example [::1]:10809");
        }
        try {
            int port = colon < 0 ? -1 : Integer.parseInt(text.substring(colon + 1));
            if (port >= 0 && port <= 65535 && !host.isEmpty()) {
                return InetSocketAddress.createUnresolved(host, port);
            }
        } catch (NumberFormatException e) {
            // said below
        }
        throw new ConfigException("not HOST:PORT; for example 127.0.0.1:10809");
    }
}
