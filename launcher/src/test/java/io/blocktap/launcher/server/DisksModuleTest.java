package io.blocktap.launcher.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.inject.AbstractModule;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.StageModule;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import jakarta.inject.Inject;
import jakarta.inject.Singleton;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** As in docs/guice.md, which DocsIT compiles as it stands there: a stage, its collaborator and the chains are composed by Guice alone. */
final class DisksModuleTest {
    /** What the interposers of all disks report to: an object of the program, injected. */
    @Singleton
    static final class WrittenBytes extends AtomicLong {}

    /** Counts what is written, and refuses writes below a border. */
    static final class Guard implements Stage, RequestHook {
        private final WrittenBytes written;
        private final long borderBytes;

        Guard(WrittenBytes written, long borderBytes) {
            this.written = written;
            this.borderBytes = borderBytes;
        }

        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return java.util.Objects.requireNonNull(below);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            if (request.op() == BlockOp.WRITE) {
                if (request.offsetBytes() < borderBytes) {
                    return request.respond(BlockStatus.READ_ONLY);
                }
                written.addAndGet(request.lengthBytes());
            }
            return Verdict.PASS;
        }

        @Override
        public void close() {}
    }

    static final class GuardFactory implements StageFactory {
        private final WrittenBytes written;

        @Inject
        GuardFactory(WrittenBytes written) {
            this.written = written;
        }

        @Override
        public String name() {
            return "guard";
        }

        @Override
        public Kind kind() {
            return Kind.INTERPOSER;
        }

        @Override
        public String summary() {
            return "Refuses writes below a border.";
        }

        @Override
        public List<OptionSpec> options() {
            return List.of(OptionSpec.optional("border", OptionType.SIZE, "first byte that may be written")
                    .withDefault("0")
                    .first());
        }

        @Override
        public Stage create(OptionValues values) {
            return new Guard(written, values.sizeBytes("border"));
        }
    }

    /** A stage that Guice makes by itself; it has no word. */
    static final class Watcher implements Stage, RequestHook {
        private final WrittenBytes written;

        @Inject
        Watcher(WrittenBytes written) {
            this.written = written;
        }

        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return java.util.Objects.requireNonNull(below);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            written.addAndGet(1_000_000);
            return Verdict.PASS;
        }

        @Override
        public void close() {}
    }

    static final class MyDisks extends DisksModule {
        private final WrittenBytes written;

        MyDisks(WrittenBytes written) {
            this.written = written;
        }

        @Override
        protected void configure() {
            bind(WrittenBytes.class).toInstance(written);
            bindStage("guard").to(GuardFactory.class);
            disk("guarded").chain("guard:4K count memory:1M");
            disk("watched").stage(Watcher.class).stage("memory:1M");
        }
    }

    @TempDir
    private Path directory;

    @Test
    void stagesAndChainsComposedByGuiceCarryRequests() throws Exception {
        WrittenBytes written = new WrittenBytes();
        Path socket = directory.resolve("l.sock");

        try (BlocktapServer server = BlocktapServer.builder()
                        .modules(new MyDisks(written))
                        .tap("loopback:" + socket)
                        .disk("plain", "memory:1M")
                        .start();
                TestFrontend guarded = TestFrontend.connect(socket, "guarded");
                TestFrontend watched = TestFrontend.connect(socket, "watched")) {
            guarded.write(4096, filled(512, 7)).get(10, TimeUnit.SECONDS);

            assertThat(server.disks()).extracting("name").containsExactly("plain", "guarded", "watched");
            assertThat(guarded.read(4096, 512)).containsOnly(7);
            assertThat(written.get()).isEqualTo(512);
            assertThatThrownBy(() -> guarded.write(0, filled(512, 7)).get(10, TimeUnit.SECONDS))
                    .isInstanceOf(ExecutionException.class);
            assertThat(guarded.read(0, 512)).containsOnly(0);
            watched.read(0, 512);
            assertThat(written.get()).isEqualTo(1_000_512);
        }
    }

    private static byte[] filled(int length, int value) {
        byte[] data = new byte[length];
        java.util.Arrays.fill(data, (byte) value);
        return data;
    }

    @Test
    void mistakesInAModulesChainNameTheModule() {
        DisksModule module = new DisksModule() {
            @Override
            protected void configure() {
                disk("vm1").chain("dump memry:1M");
            }
        };

        assertThatThrownBy(() -> BlocktapServer.builder()
                        .modules(module)
                        .tap("loopback:" + directory.resolve("l.sock"))
                        .start())
                .isInstanceOf(ConfigException.class)
                .hasMessageEndingWith(", disk 'vm1': 'memry:1M': there is no stage 'memry'; did you mean memory?")
                .hasMessageStartingWith(getClass().getName());
    }

    @Test
    void refusesTwoDisksOfOneName() {
        assertThatThrownBy(() -> BlocktapServer.builder()
                        .tap("loopback:" + directory.resolve("l.sock"))
                        .disk("a", "null")
                        .disk("a", "null")
                        .start())
                .hasMessage("two disks are named 'a'; names must differ");
    }

    @Test
    void refusesANameThatNoNbdClientCouldRead() {
        assertThatThrownBy(() -> BlocktapServer.builder()
                        .tap("loopback:" + directory.resolve("l.sock"))
                        .disk("\u00e4".repeat(2049), "null")
                        .start())
                .hasMessage("a disk's name has 2049 characters; at most 4096 bytes of UTF-8 are possible");
    }

    @Test
    void tellsWhatGuiceMissesInOneLine() {
        AbstractModule module = new StageModule() {
            @Override
            protected void configure() {
                bindStage("guard").to(NeedsRunnable.class);
            }
        };

        assertThatThrownBy(() -> Assembly.of(Plugins.NONE, List.of(module)))
                .isInstanceOf(StageException.class)
                .message()
                .startsWith("Guice: ")
                .contains("Runnable")
                .doesNotContain("\n");
    }

    abstract static class NeedsRunnable implements StageFactory {
        @Inject
        NeedsRunnable(Runnable missing) {}
    }

    @Test
    void whatEmbedsClosesTwiceWithoutHarm() throws Exception {
        BlocktapServer server = BlocktapServer.builder()
                .tap("loopback:" + directory.resolve("l.sock"))
                .disk("", "null")
                .start();

        server.drain().get(10, TimeUnit.SECONDS);
        server.close();
        server.close();

        assertThat(server.inFlight()).isEmpty();
    }
}
