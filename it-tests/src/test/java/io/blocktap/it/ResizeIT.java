package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Json;
import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.RingClient;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.pipeline.codec.nbd.Nbd;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** An image that grows under a running server, as clients of both taps see it. */
@Timeout(120)
final class ResizeIT {
    private static final int SIZE = 4 << 20;
    private static final int LARGER = 8 << 20;

    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void makeImage() {
        Tool.requireAll("qemu-img", "nbdinfo", "truncate");
        image = directory.resolve("disk.img");
        TestData.file(image, 1, SIZE);
    }

    private void grow(ServedDisk served) {
        Exec.run("truncate", "-s", LARGER, image).ok();
        await("the server has seen it")
                .atMost(Duration.ofSeconds(20))
                .until(() -> served.log().contains("has " + LARGER + " bytes now, it had " + SIZE));
    }

    @Test
    void newNbdConnectionsSeeTheNewSizeAndOldOnesMayUseIt() throws Exception {
        byte[] data = TestData.bytes(2, 4096);
        try (ServedDisk served =
                        ServedDisk.serve(directory, "dump:file=" + directory.resolve("dump.txt"), "image:" + image);
                RawNbd old = RawNbd.open(served.nbdSocket())) {
            assertThat(old.write(SIZE, data)).isEqualTo(Nbd.ENOSPC);

            grow(served);

            assertThat(Json.object(Exec.run("qemu-img", "info", "--output=json", served.uri())
                            .ok()
                            .out()))
                    .containsEntry("virtual-size", LARGER);
            assertThat(Exec.run("nbdinfo", "--size", served.uri()).ok().out().strip())
                    .isEqualTo(Integer.toString(LARGER));
            assertThat(old.sizeBytes()).isEqualTo(SIZE);
            assertThat(old.write(LARGER - data.length, data)).isZero();
            assertThat(old.read(LARGER - data.length, data.length)).isEqualTo(data);
            assertThat(old.read(SIZE, 4096)).containsOnly(0);
            assertThat(old.write(LARGER, data)).isEqualTo(Nbd.ENOSPC);
            old.disconnect();
        }
        assertThat(TestData.read(image, LARGER - data.length, data.length)).isEqualTo(data);
        assertThat(Files.readString(directory.resolve("dump.txt")))
                .containsPattern("!resize\\] size=" + LARGER + " .*was=" + SIZE);
    }

    @Test
    void aRingsFrontendIsToldWhileItIsConnected() {
        byte[] data = TestData.bytes(3, 8192);
        try (ServedDisk served = ServedDisk.serve(directory, "count", "image:" + image);
                RingClient ring = RingClient.open(served.ringSocket())) {
            assertThat(ring.sizeBytes()).isEqualTo(SIZE);

            grow(served);
            await("the frontend was told").atMost(Duration.ofSeconds(10)).until(() -> ring.sizeBytes() == LARGER);

            ring.write(LARGER - data.length, data);
            assertThat(ring.read(LARGER - data.length, data.length)).isEqualTo(data);
        }
        assertThat(TestData.read(image, LARGER - data.length, data.length)).isEqualTo(data);
    }

    @Test
    void qemuImgMayNotResizeWhatIsServedForItCouldAsWellMakeItSmaller() {
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image)) {
            assertThat(Exec.run("qemu-img", "resize", "-f", "raw", image, LARGER)
                            .failed()
                            .all())
                    .contains("lock");
            served.assertAlive();
        }
        assertThat(image).hasSize(SIZE);
    }
}
