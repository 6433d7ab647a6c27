package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Json;
import io.blocktap.it.support.Tool;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The command line as users meet it: {@code ./blocktap} with words, what it prints, and how it ends. */
@Timeout(120)
final class CommandsIT {
    @TempDir
    private Path directory;

    private Exec.Result run(String... words) {
        return Blocktap.run(directory, words);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "serve", "stages", "bench", "demo"})
    void helpTellsWhatThereIsAndGivesExamples(String command) {
        Exec.Result result = command.isEmpty() ? run("--help") : run(command, "--help");

        result.ok();
        assertThat(result.out())
                .contains("Usage: ", "Examples:", "blocktap " + (command.isEmpty() ? "serve" : command));
        assertThat(result.err()).isEmpty();
    }

    @Test
    void theVersionIsNamed() {
        Exec.Result result = run("--version").ok();

        assertThat(result.out()).startsWith("blocktap ").containsPattern("\\d+\\.\\d+");
        assertThat(result.err()).isEmpty();
    }

    @Test
    void stagesAreListed() {
        Exec.Result result = run("stages").ok();

        assertThat(result.out()).contains("nbd", "loopback", "dump", "count", "image", "memory", "null");
        assertThat(result.err()).isEmpty();
    }

    @Test
    void oneStageIsDescribedForScripts() {
        Map<String, Object> all =
                Json.object(run("stages", "image", "--json").ok().out());

        List<Map<String, Object>> stages = Json.objects(all, "stages");
        assertThat(stages).singleElement().satisfies(stage -> {
            assertThat(stage).containsEntry("name", "image").containsEntry("kind", "terminator");
            assertThat(Json.objects(stage, "options"))
                    .extracting(option -> option.get("name"))
                    .contains("file", "size", "read-only", "direct", "io", "discard");
        });
        assertThat(Json.objects(all, "taps")).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '"',
            value = {
                "srve|there is no command 'srve'; did you mean serve?",
                "serve --tpa x memory:1M|there is no option '--tpa'; did you mean --tap?",
                "serve --tap nbd:unix=s memry:1M|'memry:1M': there is no stage 'memry'; did you mean memory?",
                "serve --tap ndb:unix=s memory:1M|'ndb:unix=s': there is no tap 'ndb'; did you mean nbd?",
                "serve --tap nbd:unix=s image:d.img,sise=1M|sise",
                "serve --tap nbd:unix=s image:d.img,io=urnig|did you mean uring",
                "serve --tap nbd:unix=s memory:1Q|1Q",
                "serve --tap nbd:unix=s memory:1M null:1M|memory is a terminator and ends a chain",
                "serve --tap nbd:unix=s dump|dump",
                "serve memory:1M|tap",
                "stages imgae|did you mean image?",
                "bench --rw randraed null|did you mean randread?",
                "bench --qd 0 null|--qd 0",
            })
    void mistakesAreOneLineEachAndExitWithTwo(String words, String told) {
        Exec.Result result = run(words.split(" "));

        assertThat(result.exitCode()).as(result.toString()).isEqualTo(2);
        assertThat(result.out()).isEmpty();
        assertThat(result.err()).contains(told);
        assertThat(result.err().lines().filter(line -> !line.startsWith("blocktap: see ")))
                .singleElement()
                .asString()
                .startsWith("blocktap: ");
        assertThat(directory.resolve("s")).doesNotExist();
        assertThat(directory.resolve("d.img")).doesNotExist();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "serve --tap nbd:unix=s image:missing.img|missing.img does not exist; give size=",
                "serve --tap nbd:unix=no/such/directory/s memory:1M|no/such/directory",
                "serve --tap nbd:unix=s image:.|is a directory",
                "serve --tap nbd:tcp=192.0.2.77:10809 memory:1M|192.0.2.77",
            })
    void whatFailsIsOneLineAndExitsWithOne(String words, String told) {
        Exec.Result result = run(words.split(" "));

        assertThat(result.exitCode()).as(result.toString()).isEqualTo(1);
        assertThat(result.out()).isEmpty();
        assertThat(result.err().lines().toList())
                .singleElement()
                .asString()
                .startsWith("blocktap: ")
                .contains(told);
        assertThat(directory.resolve("s")).doesNotExist();
    }

    @Test
    void aCommandRunsAgainstItsServerAndItsExitCodeIsPassedOn() {
        Tool.require("nbdinfo");
        Path socket = directory.resolve("s.sock");
        Exec.Result result = run(
                "serve",
                "--tap",
                "nbd:unix=" + socket,
                "image:disk.img,size=3M",
                "--",
                "sh",
                "-c",
                "nbdinfo --size \"$BLOCKTAP_URI\" && nbdinfo --size \"$uri\" && test -S \"$unixsocket\" && exit 42");

        assertThat(result.exitCode()).as(result.toString()).isEqualTo(42);
        assertThat(result.out()).isEqualTo("3145728\n3145728\n");
        assertThat(socket).doesNotExist();
        assertThat(directory.resolve("disk.img")).hasSize(3 << 20);
    }

    @Test
    void aCommandReachesAServerOnTcp() {
        Tool.require("nbdinfo");
        Exec.Result result = run(
                "serve",
                "--tap",
                "nbd:tcp=127.0.0.1:0",
                "memory:5M",
                "--",
                "sh",
                "-c",
                "echo \"$uri\"; nbdinfo --size \"$uri\"");

        result.ok();
        assertThat(result.out()).containsPattern("^nbd://127.0.0.1:[1-9]\\d*/?\n5242880\n$");
    }

    @Test
    void theDemoVerifiesAndMeasures() {
        Exec.Result result = run("demo", "--size", "16M").ok();

        assertThat(result.out()).contains("IOPS", "MB/s", "p50", "p99", "p99.9", "read", "write");
        assertThat(result.all()).containsIgnoringCase("verified").doesNotContain("ERROR", "LEAK");
    }

    @Test
    void theDemoIsReadByScripts() {
        Exec.Result result = run("demo", "--size", "16M", "--json").ok();

        assertThat(Json.object(result.out())).isNotEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"loopback", "nbd"})
    void benchMeasuresForScripts(String tap) {
        Exec.Result result = run(
                "bench",
                "--json",
                "--tap",
                tap,
                "--rw",
                "randrw",
                "--qd",
                "8",
                "--time",
                "500ms",
                "--warm-up",
                "200ms",
                "memory:16M");

        Map<String, Object> all = Json.object(result.ok().out());
        assertThat(all).containsEntry("measured", "memory:16M").containsEntry("queueDepth", 8);
        assertThat(Json.objects(all, "results")).hasSize(2).allSatisfy(each -> {
            assertThat(((Number) each.get("requests")).longValue()).isPositive();
            assertThat(((Number) each.get("errors")).longValue()).isZero();
        });
    }
}
