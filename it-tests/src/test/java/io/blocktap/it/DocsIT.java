package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Tool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Does what pages of docs/ say, word by word: saves their sources, compiles them apart from the project, and runs their commands. */
@Timeout(180)
final class DocsIT {
    private static final Pattern BLOCK =
            Pattern.compile("^```(?:java file|sh step)=(\\S+)\\n(.*?)^```$", Pattern.MULTILINE | Pattern.DOTALL);

    @TempDir
    private Path directory;

    /** Returns the named blocks of a page, and saves those that are sources, but for tests. */
    private Map<String, String> blocks(String page) throws IOException {
        Map<String, String> blocks = new LinkedHashMap<>();
        Matcher found =
                BLOCK.matcher(Files.readString(Blocktap.root().resolve("docs").resolve(page)));
        Files.createDirectory(directory.resolve("src"));
        while (found.find()) {
            blocks.put(found.group(1), found.group(2));
            if (found.group(1).endsWith(".java") && !found.group(1).endsWith("Test.java")) {
                Files.writeString(directory.resolve("src").resolve(found.group(1)), found.group(2));
            }
        }
        return blocks;
    }

    /** Runs a block with the checkout and the build under test. */
    private Exec.Result run(Map<String, String> blocks, String step) {
        String build = System.getenv().getOrDefault("BLOCKTAP_BUILD", "target");
        String bin = Path.of(System.getProperty("java.home"), "bin").toString();
        String commands = blocks.get(step).replace("/launcher/target/", "/launcher/" + build + "/");
        String setUp = "set -e; export BLOCKTAP='" + Blocktap.root() + "' JAVA_HOME='" + System.getProperty("java.home")
                + "' PATH='" + bin + "':\"$PATH\"; ";
        try (Exec shell = Exec.startIn(directory, "sh", "-c", setUp + commands)) {
            return shell.await(Duration.ofSeconds(60));
        }
    }

    @Test
    void theModuleOfTheGuicePageServesItsDisks() throws Exception {
        Tool.require("qemu-io");
        Map<String, String> blocks = blocks("guice.md");
        run(blocks, "build").ok();

        Exec.Result served = run(blocks, "plugin").ok();
        assertThat(served.out())
                .contains(
                        "guard: interposer, com.example.MyDisks",
                        "guard[:BORDER]",
                        "wrote 4096/4096 bytes at offset 4096");
        assertThat(served.all()).contains("write failed: Operation not permitted");
        assertThat(directory.resolve("vm1.img")).hasSize(64 << 20);

        assertThat(run(blocks, "classes").ok().out()).contains("\"scratch7\"", "guard:border=4096");

        assertThat(run(blocks, "embedded").ok().out())
                .contains("nbd+unix:///plain?socket=")
                .contains("nbd+unix:///vm2?socket=");
    }

    @Test
    void theStageOfTheWritingPageIsLoadedFromItsJar() throws Exception {
        Map<String, String> blocks = blocks("write-a-stage.md");

        Exec.Result told = run(blocks, "build").ok();

        assertThat(told.out()).contains("guard: interposer, plugin guard.jar", "guard[:SIZE]", "Default 1M.");
    }
}
