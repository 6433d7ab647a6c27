package io.blocktap.launcher.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.launcher.server.DiskSpec;
import io.blocktap.launcher.server.DiskSpec.Word;
import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.pipeline.config.ConfigException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ConfigFileTest {
    @TempDir
    private Path directory;

    @Test
    void readsEverything() throws Exception {
        ConfigFile file = ConfigFile.parse("d.yaml", """
                # two disks
                server:
                  threads: 2
                  event-loop: io_uring
                  workers: 3
                  max-in-flight-bytes: 64M
                  drain-timeout: 5s
                plugins: my-plugins
                modules: [a.B]
                taps:
                  - nbd:unix=/run/d.sock
                disks:
                  vm1:
                    chain: dump  image:vm1.img
                  vm2:
                    chain:
                      - count
                      - "image:/srv/a b.img"
                """);

        assertThat(file.settings().threads()).isEqualTo(2);
        assertThat(file.settings().eventLoop()).isEqualTo(EventLoopKind.IO_URING);
        assertThat(file.settings().workers()).isEqualTo(3);
        assertThat(file.settings().maxInFlightBytes()).isEqualTo(64L << 20);
        assertThat(file.settings().drainTimeout()).isEqualTo(Duration.ofSeconds(5));
        assertThat(file.plugins()).isEqualTo(Path.of("my-plugins"));
        assertThat(file.modules()).containsExactly("a.B");
        assertThat(file.taps()).containsExactly(new Word("nbd:unix=/run/d.sock", "d.yaml:11:5"));
        assertThat(file.disks())
                .containsExactly(
                        new DiskSpec(
                                "vm1",
                                "d.yaml:13:3",
                                List.of(new Word("dump", "d.yaml:14:12"), new Word("image:vm1.img", "d.yaml:14:18"))),
                        new DiskSpec(
                                "vm2",
                                "d.yaml:15:3",
                                List.of(
                                        new Word("count", "d.yaml:17:9"),
                                        new Word("image:/srv/a b.img", "d.yaml:18:9"))));
    }

    @Test
    void tellsEveryMistakeWithItsPlace() {
        assertThatThrownBy(() -> ConfigFile.parse("d.yaml", """
                        server:
                          threds: 2
                          workers: many
                          workers: 3
                          drain-timeout: [1]
                        tap:
                          - nbd:unix=/run/d.sock
                        modules: a.B
                        disks:
                          vm1:
                            chian: memory:1M
                          vm2: memory:1M
                          vm3:
                            chain: {a: b}
                        """))
                .isInstanceOf(ConfigException.class)
                .extracting(Throwable::getMessage)
                .asString()
                .isEqualToNormalizingNewlines("""
                        d.yaml:2:3: 'threds: 2': server has no option 'threds'; did you mean threads?
                        d.yaml:3:3: 'workers: many': workers=many: not a whole number
                        d.yaml:4:3: server: 'workers' is given twice
                        d.yaml:5:18: drain-timeout: expected a value
                        d.yaml:6:1: the file has no 'tap'; did you mean taps?
                        d.yaml:8:10: modules: expected a list of class names
                        d.yaml:11:5: disk 'vm1' has no 'chian'; did you mean chain?
                        d.yaml:10:3: disk 'vm1' has no chain; write for example chain: dump image:disk.img
                        d.yaml:12:8: disk 'vm2': expected keys and values, for example chain: dump image:disk.img
                        d.yaml:14:12: chain: expected one text, or a list of words""");
    }

    @Test
    void tellsWhereItIsNotYaml() {
        assertThatThrownBy(() -> ConfigFile.parse("d.yaml", "taps:\n  - a\n b: ]\n"))
                .isInstanceOf(ConfigException.class)
                .message()
                .startsWith("d.yaml:3:")
                .contains("not YAML: ");
    }

    @Test
    void refusesAnEmptyFileAndAList() {
        assertThatThrownBy(() -> ConfigFile.parse("d.yaml", "# nothing\n"))
                .hasMessageStartingWith("d.yaml: it is empty; it needs taps and disks, for example {taps: ");
        assertThatThrownBy(() -> ConfigFile.parse("d.yaml", "{}"))
                .hasMessageStartingWith("d.yaml:1:1: it is empty; it needs taps and disks, for example {taps: ");
        assertThatThrownBy(() -> ConfigFile.parse("d.yaml", "- a\n"))
                .hasMessage("d.yaml:1:1: the file: expected keys and values, for example taps: [...] and disks: {...}");
    }

    @Test
    void placesWordsInsideQuotes() throws Exception {
        ConfigFile file = ConfigFile.parse("d.yaml", "disks: {a: {chain: \"dump null\"}}\n");

        assertThat(file.disks().get(0).parts())
                .containsExactly(new Word("dump", "d.yaml:1:21"), new Word("null", "d.yaml:1:26"));
    }

    @Test
    void tellsThatThereIsNoFile() {
        assertThatThrownBy(() -> ConfigFile.read(directory.resolve("none.yaml")))
                .isInstanceOf(ConfigException.class)
                .hasMessageEndingWith("none.yaml: no such file");
    }

    @ParameterizedTest
    @ValueSource(strings = {"[", "{a: ", "- ", "? "})
    void refusesNestingWithoutEnd(String opening) {
        assertThatThrownBy(() -> ConfigFile.parse("d.yaml", opening.repeat(100_000)))
                .isInstanceOf(ConfigException.class)
                .message()
                .startsWith("d.yaml:1:")
                .contains("more than 16 levels")
                .doesNotContain("\n");
    }

    @Test
    void refusesAliasesThatMultiply() {
        StringBuilder text = new StringBuilder("taps: [a]\ndisks:\n  d0: &d {chain: null}\n");
        for (int i = 1; i < 10_000; i++) {
            text.append("  d").append(i).append(": *d\n");
        }

        assertThatThrownBy(() -> ConfigFile.parse("d.yaml", text.toString()))
                .isInstanceOf(ConfigException.class)
                .message()
                .contains("aliases")
                .doesNotContain("\n");
    }

    @Test
    void readsNoMoreThanAConfigurationFileMayHave() throws Exception {
        Path huge = directory.resolve("huge.yaml");
        try (RandomAccessFile file = new RandomAccessFile(huge.toFile(), "rw")) {
            file.setLength(10L << 30);
        }

        for (Path path : List.of(huge, Path.of("/dev/zero"))) {
            assertThatThrownBy(() -> ConfigFile.read(path))
                    .isInstanceOf(ConfigException.class)
                    .hasMessage(path + ": larger than a configuration file may be, which is 1M");
        }
    }

    @Test
    void tellsThatAFileIsNoText() throws Exception {
        Path file = Files.write(directory.resolve("b.yaml"), new byte[] {'a', (byte) 0xff});

        assertThatThrownBy(() -> ConfigFile.read(file))
                .isInstanceOf(ConfigException.class)
                .hasMessage(file + ": not UTF-8 text");
    }
}
