package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.ContainerEngine;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.GnbdContainer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.startupcheck.OneShotStartupCheckStrategy;

/** blocktap's image, from the Dockerfile that users have. In CI an engine must be there. */
@Timeout(120)
final class ContainerIT {
    /** What engines from 2023 on forbid, and what this one may allow. */
    private static final String NO_IO_URING = """
            seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ERRNO", "errnoRet": 1,
            "names": ["io_uring_setup", "io_uring_enter", "io_uring_register"]}]}""";

    @RegisterExtension
    final GnbdContainer server = new GnbdContainer();

    @TempDir
    private Path directory;

    @BeforeEach
    void needEngine() {
        ContainerEngine.require();
    }

    @Test
    void theServerInAContainerListsItsExport() {
        server.serve(directory, "image:disk.img,size=16M");

        Exec.Result list = Blocktap.run(directory, "gnbd", "list", "127.0.0.1", "--port", "" + server.port())
                .ok();

        assertThat(list.out()).containsPattern("(?m)^" + GnbdContainer.EXPORT + " +read-write +0$");
        assertThat(directory.resolve("disk.img")).hasSize(16 << 20);
    }

    @Test
    void stoppingTheContainerDrainsTheServer() {
        server.serve(directory, "image:disk.img,size=16M");
        long start = System.nanoTime();

        long exitCode = server.stop();

        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(8));
        assertThat(exitCode).as(server.log()).isZero();
        assertThat(server.log()).contains("drained in", "stopped").doesNotContain("ERROR", "WARN");
    }

    @Test
    void whereIoUringIsForbiddenThreadsServeTheDisk() {
        assertThat(run("--version")).contains("epoll: yes", "io_uring: no (");
        assertThat(run("demo", "--size", "16M")).contains("verified: every byte read back through the ring");
    }

    /** Runs a command to its end, without io_uring; returns what it printed. */
    private static String run(String... words) {
        try (GenericContainer<?> container = new GenericContainer<>(ContainerEngine.image())) {
            container
                    .withCommand(words)
                    .withCreateContainerCmdModifier(
                            command -> command.getHostConfig().withSecurityOpts(List.of(NO_IO_URING)))
                    .withStartupCheckStrategy(new OneShotStartupCheckStrategy().withTimeout(Duration.ofSeconds(60)))
                    .start();
            return container.getLogs();
        }
    }
}
