package io.blocktap.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is wrong on the command line of the commands about Xen is told before xenstore is asked. */
final class XenCommandTest {
    @TempDir
    private Path directory;

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "xen | blocktap: say what to do; the commands are attach, detach, list, hotplug-script",
                "xen atach g1 xvda | blocktap: there is no command 'atach'; did you mean attach?",
                "xen attach g1 | blocktap: Missing required parameter: 'VDEV'",
                "xen attach g1 vda | blocktap: 'vda' is no virtual device; write xvda",
                "xen attach g1 xvda IMAGE:x | blocktap: 'IMAGE:x': a stage is written name[:value]",
                "xen attach --kind vbd g1 xvda | blocktap: --kind vbd: it is one of tap, vbd3",
                "xen attach --timeout 30 g1 xvda | blocktap: --timeout 30: not a time;",
                "xen detach --timeout 0s g1 xvda | blocktap: --timeout 0s: it is 1ns to 60min",
                "xen detach g1 xvda now | blocktap: 'now' is one word too many",
                "xen hotplug-script --install /nonexistent | blocktap: --install /nonexistent: no such directory;",
                "doctor nbdd | blocktap: there is no tap 'nbdd'; the taps are gnbd, loopback, nbd, xen",
                "serve --tap xen:allow=* null | blocktap: 'xen:allow=*': xen: allow: '*': a stage is written",
            })
    void saysWhatWouldBeRight(String words, String expected) {
        Cli cli = Cli.run(words.split(" "));

        assertThat(cli.firstError()).startsWith(expected);
        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.out()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"xen", "xen attach", "xen detach", "xen list", "xen hotplug-script", "doctor"})
    void helpHasExamples(String command) {
        Cli cli = Cli.run((command + " --help").split(" "));

        assertThat(cli.code()).isZero();
        assertThat(cli.out()).contains("Example", "blocktap " + command);
    }

    @Test
    void aServerThatOpensChainsNeedsNoDisk() {
        assertThat(Cli.run("serve", "--tap", "xen:allow=image:/srv/*", "--print-config")
                        .code())
                .isZero();
        assertThat(Cli.run("serve", "--tap", "xen", "--print-config").firstError())
                .startsWith("blocktap: no disk:");
    }

    @Test
    void installsTheHotplugScriptThatItPrints() throws Exception {
        Cli printed = Cli.run("xen", "hotplug-script");
        Cli installed = Cli.run("xen", "hotplug-script", "--install", directory.toString());

        Path file = directory.resolve("block-blocktap");
        assertThat(installed.out()).startsWith("installed: " + file);
        assertThat(file).isExecutable().hasContent(printed.out());
        assertThat(Files.readString(file)).startsWith("#!/bin/sh\n");
    }

    @Test
    void theDoctorFindsWhatNeedsNoXen() {
        Cli cli = Cli.run("doctor", "loopback", "nbd", "--json");

        assertThat(cli.code()).isZero();
        assertThat(cli.out()).contains("\"name\": \"loopback\"", "\"usable\": true", "\"what\": \"memfd, eventfd\"");
    }

    @Test
    void theDoctorSaysWhatXenLacks() {
        org.junit.jupiter.api.Assumptions.assumeFalse(Files.exists(Path.of("/dev/xen/evtchn")), "this is a Xen host");

        Cli cli = Cli.run("doctor", "xen");

        assertThat(cli.code()).isEqualTo(1);
        assertThat(cli.out())
                .contains(
                        "xen: can not be used",
                        "MISSING  /dev/xen/evtchn",
                        "this machine is not a Xen domain",
                        "MISSING  xenstore");
    }
}
