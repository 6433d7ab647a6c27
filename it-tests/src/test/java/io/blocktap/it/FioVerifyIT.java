package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Json;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.Tool;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** fio's NBD engine: four jobs write random blocks with checksums and read them back. */
@Timeout(120)
final class FioVerifyIT {
    private static final int JOBS = 4;

    @TempDir
    private Path directory;

    @BeforeEach
    void needFio() {
        Tool.require("fio");
    }

    @ParameterizedTest(name = "{0}, {1}")
    @CsvSource({
        "memory:64M, 4k",
        "memory:64M, 64k",
        "'image:d.img,size=64M,io=threads', 4k",
        "'image:d.img,size=64M,io=threads', 64k",
        "'image:d.img,size=64M,io=uring', 4k",
        "'image:d.img,size=64M,io=uring', 64k",
        "'image:d.img,size=64M,direct=on', 4k",
        "'image:d.img,size=64M,direct=on', 64k",
    })
    void everyBlockReadsBackAsItWasWritten(String chain, String blockSize) {
        String perJob = blockSize.equals("4k") ? "4M" : "16M";
        try (ServedDisk served = ServedDisk.serve(directory, "count", chain)) {
            Exec.Result result = Exec.run(
                            Duration.ofSeconds(100),
                            "fio",
                            "--name=verify",
                            "--ioengine=nbd",
                            "--uri=" + served.uri(),
                            "--rw=randwrite",
                            "--bs=" + blockSize,
                            "--iodepth=32",
                            "--numjobs=" + JOBS,
                            "--size=" + perJob,
                            "--offset_increment=16M",
                            "--verify=crc32c",
                            "--verify_fatal=1",
                            "--verify_state_save=0",
                            "--do_verify=1",
                            "--randrepeat=1",
                            "--randseed=42",
                            "--group_reporting",
                            "--output-format=json")
                    .ok();

            Map<String, Object> job = Json.objects(
                            Json.object(result.out().substring(result.out().indexOf('{'))), "jobs")
                    .get(0);
            long perJobBytes = Long.parseLong(perJob.replace("M", "")) << 20;
            assertThat(job).containsEntry("error", 0);
            assertThat(ioBytes(job, "write")).isEqualTo(JOBS * perJobBytes);
            assertThat(ioBytes(job, "read")).as("bytes read for verification").isEqualTo(JOBS * perJobBytes);
        }
    }

    @SuppressWarnings("unchecked")
    private static long ioBytes(Map<String, Object> job, String direction) {
        return ((Number) ((Map<String, Object>) job.get(direction)).get("io_bytes")).longValue();
    }
}
