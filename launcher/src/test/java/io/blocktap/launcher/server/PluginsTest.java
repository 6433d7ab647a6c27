package io.blocktap.launcher.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.inject.Module;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.TapFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Plugin jars that know only tap-pipeline, compiled here, work without a change of the project; broken ones are named. */
final class PluginsTest {
    /** An interposer that turns every byte that is read into its complement. */
    private static final String INVERT = """
            package plug;
            import io.blocktap.pipeline.*;
            import io.blocktap.pipeline.config.*;
            import java.util.List;
            public final class %s implements StageFactory {
                public String name() { return "%s"; }
                public Kind kind() { return Kind.INTERPOSER; }
                public String summary() { return "Inverts what is read."; }
                public List<OptionSpec> options() { return List.of(); }
                public Stage create(OptionValues values) { return new Inverter(); }
                static final class Inverter implements Stage, ResponseHook {
                    public Geometry open(StageContext context, Geometry below) { return below; }
                    public void onResponse(BlockResponse response) {
                        BlockRequest request = response.request();
                        if (request.op() == BlockOp.READ) {
                            for (int i = 0; i < request.dataLength(); i++) {
                                request.data().setByte(i, ~request.data().getByte(i));
                            }
                        }
                    }
                    public void close() { }
                }
            }
            """;

    @TempDir
    private Path directory;

    private Path plugins;

    @BeforeEach
    void makeDirectory() throws Exception {
        plugins = Files.createDirectory(directory.resolve("plugins"));
    }

    private static PluginJar inverter(String className, String stageName) {
        return new PluginJar()
                .source("plug." + className, INVERT.formatted(className, stageName))
                .service(StageFactory.class, "plug." + className);
    }

    @Test
    void aStageFromAJarWorksInAChain() throws Exception {
        inverter("Invert", "invert").write(plugins.resolve("invert.jar"));
        Path socket = directory.resolve("l.sock");

        try (Plugins loaded = Plugins.load(plugins);
                BlocktapServer server = BlocktapServer.builder()
                        .plugins(loaded)
                        .tap("loopback:" + socket)
                        .disk("", "invert memory:1M")
                        .start();
                TestFrontend frontend = TestFrontend.connect(socket, "")) {
            assertThat(server.disks().iterator().next().stageNames()).containsExactly("invert", "memory");
            assertThat(frontend.read(0, 512)).containsOnly(0xff);
        }
    }

    @Test
    void aGuiceModuleFromAJarContributesAndKnowsWhereItIsFrom() throws Exception {
        inverter("Invert", "invert")
                .source("plug.Contribution", """
                        package plug;
                        public final class Contribution extends io.blocktap.pipeline.StageModule {
                            protected void configure() { bindStage("twice").to(Twice.class); }
                        }
                        """)
                .source("plug.Twice", INVERT.formatted("Twice", "twice"))
                .service(Module.class, "plug.Contribution")
                .write(plugins.resolve("more.jar"));

        try (Plugins loaded = Plugins.load(plugins)) {
            StageCatalog catalog = Assembly.of(loaded, List.of()).catalog();

            assertThat(catalog.stage("invert")).isPresent();
            assertThat(catalog.stage("twice")).isPresent();
            assertThat(catalog.stageOrigin("twice")).isEqualTo("plugin more.jar");
            assertThat(catalog.stageOrigin("memory")).isEqualTo(StageCatalog.BUILT_IN);
        }
    }

    @Test
    void refusesTheNameOfABuiltInStage() throws Exception {
        inverter("Invert", "memory").write(plugins.resolve("clash.jar"));

        try (Plugins loaded = Plugins.load(plugins)) {
            assertThatThrownBy(() -> Assembly.of(loaded, List.of()))
                    .isInstanceOf(StageException.class)
                    .hasMessage(
                            "plugin clash.jar brings a stage 'memory', which is there already (built in); rename it");
        }
    }

    @Test
    void refusesTheSameNameFromTwoJars() throws Exception {
        inverter("A", "invert").write(plugins.resolve("a.jar"));
        inverter("B", "invert").write(plugins.resolve("b.jar"));

        try (Plugins loaded = Plugins.load(plugins)) {
            assertThatThrownBy(() -> Assembly.of(loaded, List.of()))
                    .hasMessage(
                            "plugin b.jar brings a stage 'invert', which is there already (plugin a.jar); rename it");
        }
    }

    @Test
    void refusesANameThatNoChainCanHold() throws Exception {
        inverter("A", "In Vert").write(plugins.resolve("a.jar"));

        try (Plugins loaded = Plugins.load(plugins)) {
            assertThatThrownBy(() -> Assembly.of(loaded, List.of()))
                    .hasMessageStartingWith("plugin a.jar names a stage 'In Vert'");
        }
    }

    @Test
    void namesTheJarWhoseServiceFileNamesNoClass() throws Exception {
        new PluginJar().service(StageFactory.class, "plug.Nowhere").write(plugins.resolve("broken.jar"));

        assertRefused("plugin broken.jar: ", "plug.Nowhere");
    }

    @Test
    void namesTheJarWhoseServiceIsNoStage() throws Exception {
        inverter("Invert", "invert").service(TapFactory.class, "plug.Invert").write(plugins.resolve("broken.jar"));

        assertRefused("plugin broken.jar: ", "plug.Invert");
    }

    @Test
    void namesTheJarThatLacksAClass() throws Exception {
        new PluginJar()
                .source(
                        "plug.Base",
                        "package plug; public abstract class Base implements io.blocktap.pipeline.StageFactory {}")
                .source(
                        "plug.Invert",
                        INVERT.formatted("Invert", "invert").replace("implements StageFactory", "extends Base"))
                .service(StageFactory.class, "plug.Invert")
                .leaveOut("plug.Base")
                .write(plugins.resolve("broken.jar"));

        assertRefused("plugin broken.jar: class plug.Base is missing; put it into the jar");
    }

    @Test
    void namesTheJarWhoseFactoryFailsToStart() throws Exception {
        new PluginJar()
                .source(
                        "plug.Invert",
                        INVERT.formatted("Invert", "invert")
                                .replace(
                                        "public String name()",
                                        "public Invert() { throw new IllegalStateException(\"no licence\"); } public String name()"))
                .service(StageFactory.class, "plug.Invert")
                .write(plugins.resolve("broken.jar"));

        assertRefused("plugin broken.jar: IllegalStateException: no licence");
    }

    @Test
    void namesTheFileThatIsNoJar() throws Exception {
        Files.writeString(plugins.resolve("text.jar"), "no zip");

        assertRefused("plugin text.jar: not a readable jar: ");
    }

    @Test
    void namesTheJarThatBringsNothing() throws Exception {
        new PluginJar().source("plug.A", "package plug; public class A {}").write(plugins.resolve("library.jar"));

        assertRefused("plugin library.jar: brings nothing; it names its classes in META-INF/services/");
    }

    @Test
    void aJarWithNothingButANamedModuleIsTaken() throws Exception {
        inverterModule().write(plugins.resolve("mine.jar"));

        try (Plugins loaded = Plugins.load(plugins, List.of("plug.Mine"))) {
            Class<?> type = loaded.findClass("plug.Mine").orElseThrow();
            Module module = (Module) type.getConstructor().newInstance();

            assertThat(loaded.bring(type)).isFalse();
            assertThat(Assembly.of(loaded, List.of(module)).catalog().stage("invert"))
                    .isPresent();
        }
        assertRefused("plugin mine.jar: brings nothing;", "--module");
    }

    @Test
    void knowsThatAJarBringsAModuleByItself() throws Exception {
        inverterModule().service(Module.class, "plug.Mine").write(plugins.resolve("mine.jar"));

        try (Plugins loaded = Plugins.load(plugins, List.of("plug.Mine"))) {
            assertThat(loaded.bring(loaded.findClass("plug.Mine").orElseThrow()))
                    .isTrue();
        }
    }

    private static PluginJar inverterModule() {
        return new PluginJar()
                .source("plug.Invert", INVERT.formatted("Invert", "invert"))
                .source("plug.Mine", """
                        package plug;
                        public final class Mine extends io.blocktap.pipeline.StageModule {
                            protected void configure() { bindStage("invert").to(Invert.class); }
                        }
                        """);
    }

    @Test
    void namesTheDirectoryThatIsNotThere() {
        plugins = directory.resolve("none");

        assertRefused("--plugins " + plugins + ": no such directory");
    }

    private void assertRefused(String start) {
        assertRefused(start, "");
    }

    private void assertRefused(String start, String part) {
        assertThatThrownBy(() -> Plugins.load(plugins).close())
                .isInstanceOf(StageException.class)
                .hasMessageStartingWith(start)
                .hasMessageContaining(part)
                .message()
                .doesNotContain("\n");
    }
}
