package io.blocktap.pipeline.tap.gnbd;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Plays what clients have said to original servers (the last one of 2008; libgnbd and gnbdtest of 2005) to this one, and compares the answers byte for byte, but for bytes that
 * the original leaves undefined. The disk answers at once, so that replies come in the order of requests; over a disk that does not, {@code pipelined-requests} differs in it.
 */
@Timeout(30)
final class GnbdReplayTest {
    private static final String NO_DRAIN =
            "The original reads the length of a READ past the end from its client before it answers, and so waits for ever, or swallows the requests behind it. This one"
                    + " answers at once: only a WRITE has a payload.";

    /** Where this server does on purpose what the original does not, and what it is. */
    private static final Map<String, String> DIFFERENCES = Map.of(
            "read-past-end", NO_DRAIN,
            "read-past-end-then-requests", NO_DRAIN,
            "read-straddling-end", NO_DRAIN,
            "readonly-write",
                    "The original drops the connection. This one answers with an error: clients understand both, and only the request fails, not"
                            + " the session.",
            "extern-fence-nocluster",
                    "The original of 2008, started without its cluster, refuses FENCE with ENOTSUP. This one has no cluster and fences, as originals before"
                            + " 2006 do.");

    static Stream<String> traces() throws IOException {
        try (InputStream in = GnbdReplayTest.class.getResourceAsStream("traces/index")) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8).lines();
        }
    }

    static Stream<String> alike() throws IOException {
        return traces().filter(name -> !DIFFERENCES.containsKey(name));
    }

    static Stream<String> different() {
        return DIFFERENCES.keySet().stream().sorted();
    }

    private static String replay(String name) throws Exception {
        byte[] image = GnbdTrace.image();
        Geometry geometry = Geometry.ofSize(image.length, Feature.FLUSH, Feature.FUA, Feature.MULTI_CONNECTION);
        Geometry readOnly = Geometry.ofSize(image.length, Feature.READ_ONLY, Feature.MULTI_CONNECTION);
        ReferenceDisk disk = new ReferenceDisk(geometry, AT_ONCE);
        ReferenceDisk readOnlyDisk = new ReferenceDisk(readOnly, AT_ONCE);
        System.arraycopy(image, 0, disk.content(), 0, image.length);
        System.arraycopy(image, 0, readOnlyDisk.content(), 0, image.length);
        Map<String, List<Stage>> chains = Map.of("disk", List.of(disk), "rodisk", List.of(readOnlyDisk));
        try (GnbdServer server = new GnbdServer(1, "", chains)) {
            String difference = GnbdTrace.load(name).play(server.port());
            assertThat(readOnlyDisk.content()).isEqualTo(image);
            return difference;
        }
    }

    @ParameterizedTest
    @MethodSource("alike")
    void answersAsTheOriginalDoes(String trace) throws Exception {
        assertThat(replay(trace)).isEmpty();
    }

    @ParameterizedTest
    @MethodSource("different")
    void answersOtherwiseOnPurpose(String trace) throws Exception {
        assertThat(traces()).contains(trace);
        assertThat(replay(trace)).as(DIFFERENCES.get(trace)).isNotEmpty();
    }
}
