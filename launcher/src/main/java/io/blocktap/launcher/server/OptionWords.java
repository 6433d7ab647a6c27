package io.blocktap.launcher.server;

import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;

/** Writes checked option values as words again, in full, for {@code --print-config}. */
final class OptionWords {
    private OptionWords() {}

    /** Returns a word that names every option that has a value, given or by default; parsing it gives the same values. */
    static String word(String name, List<OptionSpec> specs, OptionValues values) {
        StringBuilder word = new StringBuilder(name);
        char separator = ':';
        for (OptionSpec spec : specs) {
            if (values.has(spec.name())) {
                word.append(separator).append(spec.name()).append('=').append(StageText.escape(text(spec, values)));
                separator = ',';
            }
        }
        return word.toString();
    }

    private static String text(OptionSpec spec, OptionValues values) {
        String name = spec.name();
        return switch (spec.type()) {
            case TEXT -> values.text(name);
            case PATH -> values.path(name).toString();
            case SIZE -> Long.toString(values.sizeBytes(name));
            case NUMBER -> Long.toString(values.number(name));
            case SWITCH -> values.isOn(name) ? "on" : "off";
            case DURATION -> duration(values.duration(name));
            case CHOICE -> values.choice(name);
            case HOST_PORT -> hostPort(values.hostPort(name));
        };
    }

    /** Writes a time in the largest unit that keeps it whole. */
    static String duration(Duration duration) {
        long nanos = duration.toNanos();
        if (nanos % 1_000_000_000L == 0) {
            return nanos / 1_000_000_000L + "s";
        } else if (nanos % 1_000_000L == 0) {
            return nanos / 1_000_000L + "ms";
        } else if (nanos % 1000L == 0) {
            return nanos / 1000L + "us";
        }
        return nanos + "ns";
    }

    private static String hostPort(InetSocketAddress address) {
        String host = address.getHostString();
        return (host.indexOf(':') < 0 ? host : "[" + host + "]") + ":" + address.getPort();
    }
}
