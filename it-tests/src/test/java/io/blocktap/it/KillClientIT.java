package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.it.support.Exec;
import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.RingClient;
import io.blocktap.it.support.RingHammer;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.it.support.VerifyingClient;
import io.blocktap.pipeline.codec.nbd.Nbd;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Clients that die by SIGKILL with requests in flight. The server keeps nothing of them, and others see nothing of it. */
@Timeout(120)
final class KillClientIT {
    private static final int SIZE = 64 << 20;
    /** The part of the disk where the honest client works. */
    private static final int HONEST_START = 48 << 20;

    private static final int HONEST_BYTES = 1 << 20;
    private static final int KILLS = 3;

    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void makeImage() {
        image = TestData.file(directory.resolve("disk.img"), 7, SIZE);
    }

    @Test
    void nbdcopyDiesInTheMiddle() {
        Tool.require("nbdcopy");
        try (ServedDisk served = ServedDisk.serve(directory, "count", "image:" + image)) {
            int before = warmDescriptors(served);
            try (VerifyingClient honest = VerifyingClient.start(served.nbdSocket(), HONEST_START, HONEST_BYTES)) {
                for (int i = 0; i < KILLS; i++) {
                    int alone = served.descriptors();
                    // What it reads goes nowhere, so it is in the middle as long as the pipe is full.
                    try (Exec copy = Exec.start("sh", "-c", "nbdcopy '" + served.uri() + "' - | sleep 60")) {
                        awaitMoreDescriptors(served, alone);
                        copy.kill();
                    }
                    served.awaitDescriptors(alone);
                    honest.assertServed();
                }
            }
            served.awaitDescriptors(before);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",direct=on"})
    void fioDiesInTheMiddle(String options) {
        Tool.require("fio");
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image + options)) {
            int before = warmDescriptors(served);
            try (VerifyingClient honest = VerifyingClient.start(served.nbdSocket(), HONEST_START, HONEST_BYTES)) {
                for (int i = 0; i < KILLS; i++) {
                    int alone = served.descriptors();
                    try (Exec fio = Exec.start(
                            "fio",
                            "--name=k",
                            "--ioengine=nbd",
                            "--uri=" + served.uri(),
                            "--rw=randrw",
                            "--bs=64k",
                            "--iodepth=32",
                            "--size=32M",
                            "--time_based",
                            "--runtime=60",
                            "--numjobs=2",
                            "--thread",
                            "--eta=always",
                            "--eta-newline=1")) {
                        // It prints how fast it is once it is at work.
                        awaitMoreDescriptors(served, alone);
                        await().atMost(Duration.ofSeconds(20))
                                .until(() -> fio.all().contains("MiB/s"));
                        fio.kill();
                    }
                    served.awaitDescriptors(alone);
                    honest.assertServed();
                }
            }
            served.awaitDescriptors(before);
        }
    }

    @Test
    void aFrontendOfARingDiesInTheMiddle() {
        try (ServedDisk served = ServedDisk.serve(directory, "count", "image:" + image)) {
            int before = warmDescriptors(served);
            long mapped = sharedRings(served);
            try (VerifyingClient honest = VerifyingClient.start(served.nbdSocket(), HONEST_START, HONEST_BYTES)) {
                for (int i = 0; i < KILLS; i++) {
                    int alone = served.descriptors();
                    try (Exec hammer = RingHammer.start(served.ringSocket())) {
                        await().atMost(Duration.ofSeconds(30))
                                .until(() -> hammer.out().contains("busy"));
                        hammer.kill();
                    }
                    served.awaitDescriptors(alone);
                    honest.assertServed();
                }
            }
            served.awaitDescriptors(before);
            await("the dead frontends' memory is not mapped any more")
                    .atMost(Duration.ofSeconds(10))
                    .until(() -> sharedRings(served) == mapped);
            try (RingClient ring = RingClient.open(served.ringSocket())) {
                ring.write(0, TestData.bytes(9, 1 << 20));
                assertThat(ring.read(0, 1 << 20)).isEqualTo(TestData.bytes(9, 1 << 20));
            }
        }
    }

    /** Every place in the protocol where a client can go away. */
    @Test
    void clientsLeaveAtEveryStep() throws Exception {
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image)) {
            int before = warmDescriptors(served);
            try (VerifyingClient honest = VerifyingClient.start(served.nbdSocket(), HONEST_START, HONEST_BYTES)) {
                int alone = served.descriptors();
                for (int round = 0; round < 20; round++) {
                    RawNbd.connect(served.nbdSocket()).close();
                    try (RawNbd client = RawNbd.connect(served.nbdSocket())) {
                        client.greet();
                    }
                    try (RawNbd client = RawNbd.connect(served.nbdSocket())) {
                        client.greet();
                        client.send(RawNbd.option(Nbd.OPT_GO, RawNbd.named("")).limit(10 + round % 12));
                    }
                    RawNbd.open(served.nbdSocket()).close();
                    try (RawNbd client = RawNbd.open(served.nbdSocket())) {
                        for (int i = 0; i < 16; i++) {
                            client.send(RawNbd.request(Nbd.CMD_READ, 0, i, i << 20, 1 << 20));
                        }
                    }
                    try (RawNbd client = RawNbd.open(served.nbdSocket())) {
                        client.send(RawNbd.request(Nbd.CMD_WRITE, 0, 1, 0, 1 << 20));
                        client.send(ByteBuffer.allocate(1000 * (round + 1)));
                    }
                }
                served.awaitDescriptors(alone);
                honest.assertServed();
            }
            served.awaitDescriptors(before);
        }
    }

    /** Sees one session of each kind come and go, so that what the JVM opens once is open. */
    private static int warmDescriptors(ServedDisk served) {
        int unused = served.descriptors();
        try (VerifyingClient first = VerifyingClient.start(served.nbdSocket(), HONEST_START, HONEST_BYTES);
                RingClient ring = RingClient.open(served.ringSocket())) {
            ring.read(0, 4096);
            first.assertServed();
            awaitMoreDescriptors(served, unused);
        }
        return served.awaitSteadyDescriptors();
    }

    private static void awaitMoreDescriptors(ServedDisk served, int before) {
        await("a connection").atMost(Duration.ofSeconds(20)).until(() -> served.descriptors() > before);
    }

    private static long sharedRings(ServedDisk served) {
        return served.mappings().stream()
                .filter(line -> line.contains("/memfd:"))
                .count();
    }
}
