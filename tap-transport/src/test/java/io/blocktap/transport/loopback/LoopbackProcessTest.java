package io.blocktap.transport.loopback;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.LogCapture;
import io.blocktap.transport.LoopKind;
import io.blocktap.transport.OpenFds;
import io.blocktap.transport.memory.MappedRegion;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** A frontend in another process: the ring is really shared, and a killed process leaves nothing behind. */
@ParameterizedClass
@EnumSource
@Timeout(120)
class LoopbackProcessTest {
    private final LoopKind kind;

    @TempDir
    private Path folder;

    private TestTap tap;

    LoopbackProcessTest(LoopKind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() {
        tap = new TestTap(kind, folder.resolve("tap")).bind();
    }

    @AfterEach
    void stop() {
        tap.close();
    }

    private Process spawn(String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path")));
        String configuration = System.getProperty("logback.configurationFile");
        if (configuration != null) {
            command.add("-Dlogback.configurationFile=" + configuration);
        }
        command.add(OtherProcess.class.getName());
        command.add(tap.address.path());
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("output").toFile())
                .start();
    }

    @Test
    void servesAnotherProcess() throws Exception {
        long seed = new Random().nextLong();
        Process process = spawn("verify", Long.toString(seed));

        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();

        assertThat(Files.readString(folder.resolve("output")))
                .as("seed %d", seed)
                .contains("verified");
        assertThat(process.exitValue()).isZero();
        byte[] expected = new byte[1 << 20];
        new Random(seed).nextBytes(expected);
        byte[] content = new byte[1 << 20];
        tap.content.getBytes(4096, content);
        assertThat(content).as("seed %d", seed).isEqualTo(expected);
        assertThat(tap.awaitChannel(1).closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                .isTrue();
    }

    @Test
    void survivesTheKillOfAnotherProcess() throws Exception {
        tap.connect().close(); // everything that is made once
        await().until(() -> tap.awaitChannel(1).closeFuture().isDone());
        Map<String, Integer> fds = OpenFds.count();
        int regions = MappedRegion.liveRegions();
        try (LogCapture log = new LogCapture()) {
            Process process = spawn("hammer");
            LoopbackTapChannel child = await().atMost(60, TimeUnit.SECONDS)
                    .until(() -> tap.channels.size() == 2 ? tap.channels.get(1) : null, c -> c != null);
            await().atMost(60, TimeUnit.SECONDS)
                    .until(() -> tap.disks.get(1).requests.get() > 5000);

            process.destroyForcibly();

            assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
            assertThat(process.exitValue()).isEqualTo(128 + 9);
            assertThat(child.closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                    .isTrue();
            await().untilAsserted(() -> {
                assertThat(OpenFds.count()).isEqualTo(fds);
                assertThat(MappedRegion.liveRegions()).isEqualTo(regions);
            });
            assertThat(log.lines()).isEmpty();
        }
        try (LoopbackFrontend next = tap.connect()) {
            next.flush().join();
        }
    }
}
