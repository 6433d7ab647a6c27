package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.it.support.ContainerEngine;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.GnbdContainer;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.it.support.VerifyingClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A GNBD server in a container, which is frozen, cut off and killed, and the gnbd terminator outside, which serves real NBD clients meanwhile. The image is in a
 * directory of this machine, and is compared with what was written.
 */
@Timeout(120)
final class GnbdFaultsIT {
    private static final int SIZE = 32 << 20;
    private static final long OWN_PART = 24 << 20;
    private static final int OWN_PART_BYTES = 2 << 20;
    private static final int QEMU_BYTES = 64 << 10;
    private static final Duration FAULT = Duration.ofSeconds(1);

    @RegisterExtension
    final GnbdContainer server = new GnbdContainer();

    @TempDir
    private Path directory;

    private Path image;
    private FileTime lastWrite = FileTime.fromMillis(0);

    enum Fault {
        PAUSED(GnbdContainer::pause, GnbdContainer::unpause),
        OFF_ITS_NETWORK(GnbdContainer::disconnect, GnbdContainer::connect),
        KILLED(GnbdContainer::kill, GnbdContainer::start),
        LINK_DOWN(GnbdContainer::linkDown, GnbdContainer::linkUp);

        private final Consumer<GnbdContainer> begin;
        private final Consumer<GnbdContainer> end;

        Fault(Consumer<GnbdContainer> begin, Consumer<GnbdContainer> end) {
            this.begin = begin;
            this.end = end;
        }

        /** Whether connections end, and the client knows at once. */
        boolean isSeen() {
            return this == OFF_ITS_NETWORK || this == KILLED;
        }
    }

    @BeforeEach
    void startServer() throws IOException {
        Tool.requireAll("fio", "qemu-io", "qemu-img");
        ContainerEngine.require();
        Path far = Files.createDirectory(directory.resolve("far"));
        image = far.resolve("disk.img");
        server.serve(far, "image:disk.img,size=" + SIZE);
    }

    /** The terminator, on this side. */
    private ServedDisk startClient(String options) throws IOException {
        return ServedDisk.serve(
                Files.createDirectory(directory.resolve("near")),
                "gnbd:host=127.0.0.1,export=" + GnbdContainer.EXPORT + ",port=" + server.port() + ",reconnect=200ms"
                        + options);
    }

    // ---- without a timeout requests wait

    @ParameterizedTest
    @EnumSource
    void clientsSeeAPauseAndNoAnsweredWriteIsLost(Fault fault) throws IOException {
        try (ServedDisk disk = startClient("")) {
            VerifyingClient client = VerifyingClient.start(disk.nbdSocket(), OWN_PART, OWN_PART_BYTES);
            try (client;
                    Exec fio = startFio(disk)) {
                await("fio's writes")
                        .atMost(Duration.ofSeconds(30))
                        .until(() -> TestData.allocatedBytes(image) > OWN_PART_BYTES + (1 << 20));

                fault.begin.accept(server);
                awaitSilence();
                assertThat(fio.isAlive()).as(fio.all()).isTrue();
                fault.end.accept(server);

                assertThat(fio.await(Duration.ofSeconds(60)).ok().out())
                        .containsPattern("WRITE: .* io=16.0MiB")
                        .containsPattern("READ: .* io=16.0MiB");
            }

            client.assertStoredIn(image);
            Exec.run("qemu-img", "compare", "-U", "-f", "raw", "-F", "raw", disk.uri(), image)
                    .ok();
            if (fault.isSeen()) {
                disk.awaitLog("is back after");
            }
        }
    }

    /** Writes 16 MiB, which takes 2.7 seconds at least, and reads all of it back. */
    private static Exec startFio(ServedDisk disk) {
        return Exec.start(
                "fio",
                "--name=verify",
                "--ioengine=nbd",
                "--uri=" + disk.uri(),
                "--rw=randwrite",
                "--bs=16k",
                "--iodepth=16",
                "--size=" + OWN_PART,
                "--io_size=16M",
                "--rate_iops=,384",
                "--verify=crc32c",
                "--verify_fatal=1",
                "--verify_state_save=0",
                "--do_verify=1");
    }

    /** Holds the fault until nothing was written for as long as one lasts. */
    private void awaitSilence() throws IOException {
        await("silence").atMost(Duration.ofSeconds(10)).during(FAULT).until(() -> {
            boolean silent = Files.getLastModifiedTime(image).equals(lastWrite);
            lastWrite = Files.getLastModifiedTime(image);
            return silent;
        });
    }

    // ---- with a timeout they fail

    @ParameterizedTest
    @EnumSource
    void afterTheTimeoutRequestsFailAndTheDiskWorksAgainLater(Fault fault) throws IOException {
        try (ServedDisk disk = startClient(",timeout=500ms")) {
            qemuIo(disk, "write -P 1 0 64k").ok();

            fault.begin.accept(server);
            assertThat(qemuIo(disk, "write -P 2 64k 64k").failed().all()).contains("Input/output error");
            assertThat(qemuIo(disk, "read 0 64k").failed().all()).contains("Input/output error");
            fault.end.accept(server);
            await("the server is back")
                    .atMost(Duration.ofSeconds(30))
                    .until(() -> disk.log().contains("is back after"));

            // The write that failed may have reached the server, but must not come after this one.
            qemuIo(disk, "write -P 3 64k 64k", "read -P 3 64k 64k", "read -P 1 0 64k")
                    .ok();
        }
        assertPattern(0, 1);
        assertPattern(QEMU_BYTES, 3);
    }

    private static Exec.Result qemuIo(ServedDisk disk, String... commands) {
        List<String> words = new ArrayList<>(List.of("qemu-io", "-f", "raw", "-t", "none", disk.uri()));
        for (String command : commands) {
            words.add("-c");
            words.add(command);
        }
        return Exec.run(words.toArray());
    }

    private void assertPattern(long offset, int value) {
        byte[] wanted = new byte[QEMU_BYTES];
        Arrays.fill(wanted, (byte) value);
        assertThat(TestData.read(image, offset, QEMU_BYTES)).isEqualTo(wanted);
    }
}
