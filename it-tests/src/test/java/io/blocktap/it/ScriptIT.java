package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The script {@code ./blocktap} in a checkout of its own, whose build the test may spoil. Nothing is built here: BLOCKTAP_NO_BUILD is set. */
@Timeout(120)
final class ScriptIT {
    private static final String BUILD = System.getenv().getOrDefault("BLOCKTAP_BUILD", "target");

    @TempDir
    private Path directory;

    private Path script;
    private Path output;

    @BeforeEach
    void copyTheBuild() throws IOException {
        script = Files.copy(Blocktap.root().resolve("blocktap"), directory.resolve("blocktap"));
        Path built = Blocktap.root().resolve("launcher").resolve(BUILD);
        output = Files.createDirectories(directory.resolve("launcher").resolve(BUILD));
        Files.createDirectory(output.resolve("lib"));
        Files.copy(built.resolve("blocktap-launcher.jar"), output.resolve("blocktap-launcher.jar"));
        for (Path library : list(built.resolve("lib"))) {
            Files.copy(library, output.resolve("lib").resolve(library.getFileName()));
        }
    }

    private static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> found = Files.list(folder)) {
            return found.toList();
        }
    }

    private List<Path> copies() throws IOException {
        return list(directory.resolve(".blocktap-run").resolve(BUILD));
    }

    @Test
    void aBuildUnderARunningServerTakesNoClassFromIt() throws Exception {
        try (Exec server = Exec.startIn(directory, script, "serve", "--tap", "nbd:unix=s", "image:d.img,size=1M")) {
            await().atMost(Duration.ofSeconds(30)).until(() -> server.out().contains("ready: ") || !server.isAlive());
            Path jar = output.resolve("blocktap-launcher.jar");
            byte[] good = Files.readAllBytes(jar);

            // What a build does to its output, at its worst.
            for (Path library : list(output.resolve("lib"))) {
                Files.write(library, new byte[0]);
            }
            Files.write(jar, good);
            server.signal("TERM");

            Exec.Result result = server.await(Duration.ofSeconds(30));
            result.ok();
            assertThat(result.err()).contains("stopped").doesNotContain("ERROR", "NoClassDefFound");
        }
    }

    @Test
    void copiesThatNobodyUsesAreRemoved() throws Exception {
        Exec.run(script, "--version").ok();
        List<Path> first = copies();
        try (Exec server = Exec.startIn(directory, script, "serve", "--tap", "nbd:unix=s", "memory:1M")) {
            await().atMost(Duration.ofSeconds(30)).until(() -> server.out().contains("ready: ") || !server.isAlive());
            change("one");
            Exec.run(script, "--version").ok();
            assertThat(copies()).as("the server's and the new one").hasSize(2).containsAll(first);

            server.signal("TERM");
            server.await(Duration.ofSeconds(30)).ok();
        }
        change("two");
        Exec.run(script, "--version").ok();

        assertThat(copies()).singleElement().isNotIn(first);
    }

    /** As if there were one library more. */
    private void change(String name) throws IOException {
        Files.copy(
                output.resolve("blocktap-launcher.jar"), output.resolve("lib").resolve(name + ".jar"));
    }
}
