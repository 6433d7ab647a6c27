package io.blocktap.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.inject.Binder;
import com.google.inject.Module;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageModule;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is wrong on a command line is told in one line that says what would be right, with exit code 2. */
final class CommandLineTest {
    private static final String NBD = "--tap=nbd:unix=/nonexistent/d.sock";

    @TempDir
    private Path directory;

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "memry:1M | blocktap: 'memry:1M': there is no stage 'memry'; did you mean memory?",
                "nbd:unix=x | blocktap: 'nbd:unix=x': there is no stage 'nbd'; nbd is a tap; give it by --tap",
                "zzz | blocktap: 'zzz': there is no stage 'zzz'; 'blocktap stages' lists what there is",
                "dump | blocktap: 'dump': the chain ends here, but dump is an interposer and passes requests on;",
                "memory:1M dump | blocktap: 'memory:1M': memory is a terminator and ends a chain, but 1 stage follows; put it last",
                "memory:1X | blocktap: 'memory:1X': size=1X: not a size;",
                "memory | blocktap: 'memory': memory needs size:",
                "memory:1M,siz=3 | blocktap: 'memory:1M,siz=3': memory has no option 'siz'; did you mean size?",
                "memory:1M,size=2M | blocktap: 'memory:1M,size=2M': size is given twice",
                "MEMORY | blocktap: 'MEMORY': a stage is written name[:value][,key=value...]",
                "null:size=0 | blocktap: 'null:size=0': null: size=0",
                "--threads=0 null | blocktap: '--threads 0': threads=0: it is 1 to 1024",
                "--threads=many null | blocktap: '--threads many': threads=many: not a whole number",
                "--event-loop=poll null | blocktap: '--event-loop poll': event-loop=poll: did you mean epoll?",
                "--drain-timeout=30 null | blocktap: '--drain-timeout 30': drain-timeout=30: not a time;",
                "--log-level=inf null | blocktap: --log-level 'inf': did you mean info?",
                "--treads=2 null | blocktap: there is no option '--treads'; did you mean --threads?",
                "--tap=nbd2 null | blocktap: 'nbd2': there is no tap 'nbd2'; did you mean nbd?",
                "--tap=dump null | blocktap: 'dump': there is no tap 'dump'; dump is a stage; the taps are",
                "--name=vm1 | blocktap: --name vm1 names the disk of the STAGE words, but there are none",
                "null -- | blocktap: no command stands behind '--'",
                "--plugins=/nonexistent null | blocktap: --plugins /nonexistent: no such directory; name a directory of jars",
                "--plugins=/dev/null null | blocktap: --plugins /dev/null: not a directory;",
                "--module=com.example.None null | blocktap: --module com.example.None: no such class",
                "--module=java.lang.String null | blocktap: --module java.lang.String: not a com.google.inject.Module",
                "--config=/nonexistent.yaml | blocktap: /nonexistent.yaml: no such file",
            })
    void saysWhatWouldBeRight(String words, String expected) {
        List<String> arguments = new java.util.ArrayList<>(List.of("serve", NBD));
        arguments.addAll(List.of(words.split(" ")));

        Cli cli = Cli.run(arguments.toArray(String[]::new));

        assertThat(cli.firstError()).startsWith(expected);
        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.out()).isEmpty();
        assertThat(cli.err()).doesNotContain("\tat ");
    }

    @Test
    void tellsEveryMistakeAtOnce() {
        Cli cli = Cli.run("serve", "--tap", "ndb", "dmp", "memory:1M", "coutn", "memory");

        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.err().lines().toList())
                .hasSize(5)
                .allMatch(line -> line.startsWith("blocktap: '"))
                .anyMatch(line -> line.contains("'dmp'") && line.contains("did you mean dump?"))
                .anyMatch(line -> line.contains("'coutn'") && line.contains("did you mean count?"))
                .anyMatch(line -> line.contains("'ndb'") && line.contains("did you mean nbd?"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "sevre | blocktap: there is no command 'sevre'; did you mean serve?",
                "--vesrion | blocktap: there is no option '--vesrion'; did you mean --version?",
                "stages memry | blocktap: there is no stage or tap 'memry'; did you mean memory?",
                "stages a b | blocktap: 'b' is one word too many",
                "stages a b --help | blocktap: 'b' is one word too many",
                "sevre --help | blocktap: there is no command 'sevre'; did you mean serve?",
                "serve --print-config --tap=nbd null | blocktap: 'nbd': nbd: needs either unix=PATH or tcp=HOST:PORT,",
                "serve --tap=nbd:unix=a,tcp=127.0.0.1:0 null | blocktap: 'nbd:unix=a,tcp=127.0.0.1:0': nbd: needs either unix=",
                "serve --tap=nbd:unix=a,mode=999 null | blocktap: 'nbd:unix=a,mode=999': nbd: mode=999:",
                "serve --tap=loopback:a,max-sessions=0 null | blocktap: 'loopback:a,max-sessions=0': loopback: max-sessions=0;",
                "help sevre | blocktap: Unknown subcommand 'sevre'",
                "stages -- true | blocktap: '--' stands before the command of 'serve ... -- COMMAND' only",
                "serve null | blocktap: no tap: nobody could connect; give one by --tap (in a file: taps), for example --tap nbd:",
            })
    void refusesOtherNonsense(String words, String expected) {
        Cli cli = Cli.run(words.split(" "));

        assertThat(cli.firstError()).startsWith(expected);
        assertThat(cli.code()).isEqualTo(2);
    }

    @Test
    void refusesThePathOfASocketThatIsTooLong() {
        Cli cli = Cli.run("serve", "--tap=nbd:unix=/" + "x".repeat(107), "null");

        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.firstError())
                .contains("has 108 bytes; the path of a socket has at most 107: choose a shorter one");
    }

    @Test
    void tellsEveryWrongSettingAtOnce() {
        Cli cli = Cli.run("serve", NBD, "--threads=0", "--workers=x", "null");

        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.err().lines()).hasSize(2);
    }

    @Test
    void anErrorOfTheJvmIsOneLineToo() {
        Cli cli = Cli.run("stages", "--module=" + OutOfMemory.class.getName());

        assertThat(cli.code()).isEqualTo(1);
        assertThat(cli.err().lines().toList()).singleElement().asString().startsWith("blocktap: out of memory (test);");
    }

    /** A module that needs too much. */
    public static final class OutOfMemory implements Module {
        @Override
        public void configure(Binder binder) {
            throw new OutOfMemoryError("test");
        }
    }

    @Test
    void aModuleThatIsNamedTwiceIsInstalledOnce() {
        String module = "--module=" + TestStages.class.getName();

        Cli cli = Cli.run("stages", module, module, "late");

        assertThat(cli.code()).as(cli.err()).isZero();
    }

    @Test
    void printConfigAsksTheTapToo() {
        Cli cli = Cli.run("serve", "--print-config", "--module=" + WrongTap.class.getName(), "--tap=picky", "null");

        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.firstError()).isEqualTo("blocktap: 'picky': picky: never good");
    }

    /** A tap whose options are never good. */
    public static final class WrongTap extends StageModule {
        @Override
        protected void configure() {
            bindTap("picky").toInstance(new TapFactory() {
                @Override
                public String name() {
                    return "picky";
                }

                @Override
                public String summary() {
                    return "never opens";
                }

                @Override
                public List<OptionSpec> options() {
                    return List.of();
                }

                @Override
                public void check(OptionValues values) throws StageException {
                    throw new StageException("picky: never good");
                }

                @Override
                public Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) {
                    throw new AssertionError("must not be opened");
                }
            });
        }
    }

    @Test
    void asksForACommand() {
        Cli cli = Cli.run();

        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.firstError()).startsWith("blocktap: say what to do; the commands are serve, stages");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"--help", "serve --help", "stages --help", "demo --help", "bench --help", "help", "help serve"})
    void helpHasExamples(String words) {
        Cli cli = Cli.run(words.split(" "));

        assertThat(cli.code()).isZero();
        assertThat(cli.out()).startsWith("Usage: blocktap").contains("Examples:");
        assertThat(cli.err()).isEmpty();
    }

    @Test
    void versionTellsWhatTheMachineOffers() {
        Cli cli = Cli.run("--version");

        assertThat(cli.code()).isZero();
        assertThat(cli.out()).startsWith("blocktap ").contains("epoll: ", "io_uring: ", "java: ", "kernel: Linux");
    }

    @Test
    void aRunTimeFailureIsOneLineAndExitCode1() {
        Cli cli = Cli.run("serve", NBD, "null");

        assertThat(cli.code()).isEqualTo(1);
        assertThat(cli.err().lines().filter(line -> line.startsWith("blocktap: ")))
                .singleElement()
                .asString()
                .contains("/nonexistent/d.sock", "there is no directory /nonexistent;");
        assertThat(cli.err()).doesNotContain("\tat ");
    }

    @Test
    void verboseShowsTheStackTrace() {
        Cli cli = Cli.run("serve", "--verbose", NBD, "null");

        assertThat(cli.code()).isEqualTo(1);
        assertThat(cli.err()).contains("StageException", "\tat ");
    }

    @Test
    void listsStagesAndTaps() {
        Cli cli = Cli.run("stages");

        assertThat(cli.code()).isZero();
        assertThat(cli.out()).contains("Taps", "  nbd ", "Interposers", "  dump ", "Terminators", "  memory ");
    }

    @Test
    void tellsTheOptionsOfOneStage() {
        Cli cli = Cli.run("stages", "null");

        assertThat(cli.code()).isZero();
        assertThat(cli.out()).contains("null: terminator, built in", "  null[:SIZE]", "size=size", "Default 1G.");
    }

    @Test
    void listsStagesAsJson() {
        Cli cli = Cli.run("stages", "--json", "null");

        assertThat(cli.code()).isZero();
        assertThat(cli.out()).isEqualToNormalizingNewlines("""
                        {
                          "stages": [
                            {
                              "name": "null",
                              "kind": "terminator",
                              "summary": "Reads as zeroes and forgets what is written; for measuring what is in front of it.",
                              "from": "built in",
                              "options": [
                                {
                                  "name": "size",
                                  "type": "size",
                                  "default": "1G",
                                  "required": false,
                                  "first": true,
                                  "doc": "size of the disk in bytes"
                                }
                              ]
                            }
                          ],
                          "taps": []
                        }
                        """);
    }

    @Test
    void printedConfigurationCanBeServedAgain() throws Exception {
        Cli first =
                Cli.run("serve", NBD, "--print-config", "--threads=3", "--name=a b", "dump:file=x\\,y", "memory:1M");
        Path file = Files.writeString(directory.resolve("printed.yaml"), first.out());

        Cli second = Cli.run("serve", "--config", file.toString(), "--print-config");

        assertThat(first.code()).isZero();
        assertThat(first.out()).contains("\"threads\": 3", "\"a b\": {", "memory:size=1048576");
        assertThat(second.err()).isEmpty();
        assertThat(second.out()).isEqualTo(first.out());
    }
}
