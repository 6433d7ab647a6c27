package io.blocktap.interposer.dump;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionParser;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.Suggestions;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The settings of the interposer {@code dump}.
 *
 * @param file where lines are appended; {@code -} is the standard output
 * @param json JSON lines instead of text
 * @param ops which operations are shown
 * @param startBytes requests that end at or before it are not shown
 * @param endBytes requests that start at or after it are not shown
 * @param hexBytes how many bytes of data are shown, 0 to {@link #MAX_HEX_BYTES}
 * @param bufferBytes how much may wait for a slow sink: a power of two from {@link #MIN_BUFFER_BYTES}
 */
public record DumpConfig(
        String file, boolean json, Set<BlockOp> ops, long startBytes, long endBytes, int hexBytes, int bufferBytes) {
    /** Most bytes of a request's data that a line shows. */
    public static final int MAX_HEX_BYTES = 4096;

    /** Smallest buffer. */
    public static final int MIN_BUFFER_BYTES = 64 << 10;

    private static final int MAX_BUFFER_BYTES = 1 << 30;

    static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.optional("file", OptionType.PATH, "file or pipe to append lines to; - is the standard output")
                    .withDefault("-")
                    .first(),
            OptionSpec.choice("format", "text", List.of("text", "json"), "form of the lines"),
            OptionSpec.optional(
                    "ops",
                    OptionType.TEXT,
                    "operations to show, joined by +: read, write, flush, discard, write-zeroes; all by default"),
            OptionSpec.optional(
                    "range",
                    OptionType.TEXT,
                    "START-END: shows only requests that touch these bytes, END excluded, and flushes; the whole disk by default"),
            OptionSpec.optional("hex", OptionType.NUMBER, "bytes of each request's data to show, 0 to " + MAX_HEX_BYTES)
                    .withDefault("0"),
            OptionSpec.optional(
                            "buffer",
                            OptionType.SIZE,
                            "bytes that may wait for a slow sink, 64K to 1G; rounded up to a power of two")
                    .withDefault("4M"));

    /** Copies the set. */
    public DumpConfig {
        ops = Set.copyOf(ops);
    }

    /** Returns settings that show everything as text in a file. */
    public static DumpConfig to(String file) {
        return new DumpConfig(file, false, EnumSet.allOf(BlockOp.class), 0, Long.MAX_VALUE, 0, 4 << 20);
    }

    static DumpConfig of(OptionValues values) throws StageException {
        long hex = values.number("hex");
        if (hex < 0 || hex > MAX_HEX_BYTES) {
            throw new StageException("dump: hex=" + hex + ": it is 0 to " + MAX_HEX_BYTES + " bytes");
        }
        long buffer = values.sizeBytes("buffer");
        if (buffer < MIN_BUFFER_BYTES || buffer > MAX_BUFFER_BYTES) {
            throw new StageException("dump: buffer=" + buffer + ": it is 64K to 1G");
        }
        int rounded = Integer.highestOneBit((int) buffer - 1) << 1;
        String file = values.path("file").toString();
        String range = values.has("range") ? values.text("range") : "0-" + Long.MAX_VALUE;
        long[] bounds = range(range);
        Set<BlockOp> ops = values.has("ops") ? ops(values.text("ops")) : EnumSet.allOf(BlockOp.class);
        return new DumpConfig(
                file, values.choice("format").equals("json"), ops, bounds[0], bounds[1], (int) hex, rounded);
    }

    private static Set<BlockOp> ops(String text) throws StageException {
        Set<BlockOp> ops = EnumSet.noneOf(BlockOp.class);
        List<String> known = Stream.of(BlockOp.values()).map(DumpConfig::word).toList();
        for (String word : text.split("\\+", -1)) {
            int index = known.indexOf(word);
            if (index < 0) {
                String all = "the operations are " + String.join(", ", known);
                throw new StageException("dump: ops=" + text + ": no operation '" + word + "'; "
                        + Suggestions.closest(word, known)
                                .map(near -> "did you mean " + near + "?")
                                .orElse(all));
            }
            ops.add(BlockOp.values()[index]);
        }
        return ops;
    }

    private static String word(BlockOp op) {
        return op.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private static long[] range(String text) throws StageException {
        int dash = text.indexOf('-');
        try {
            if (dash > 0) {
                long start = OptionParser.size(text.substring(0, dash));
                long end = dash == text.length() - 1 ? Long.MAX_VALUE : OptionParser.size(text.substring(dash + 1));
                if (start < end) {
                    return new long[] {start, end};
                }
            }
        } catch (ConfigException e) {
            throw new StageException("dump: range=" + text + ": " + e.getMessage());
        }
        throw new StageException("dump: range=" + text + ": write START-END with START before END, for example 1M-2M");
    }
}
