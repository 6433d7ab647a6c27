package io.blocktap.launcher.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageModule;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.ChainPolicy;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Chains that a toolstack names: opened only if every word is allowed, closed with the device or the server. */
final class ChainDisksTest {
    @TempDir
    private Path directory;

    /** A tap that nobody can connect to, and that shows what it may have opened. */
    private static final class OpeningTap extends StageModule implements TapFactory, Tap {
        private DiskRegistry disks;

        @Override
        protected void configure() {
            bindTap("opening").toInstance(this);
        }

        @Override
        public String name() {
            return "opening";
        }

        @Override
        public String summary() {
            return "has chains opened";
        }

        @Override
        public List<OptionSpec> options() {
            return List.of();
        }

        @Override
        public boolean opensChains(OptionValues values) {
            return true;
        }

        @Override
        public Tap open(OptionValues values, DiskRegistry registry, TapLoops loops) {
            disks = registry;
            return this;
        }

        @Override
        public List<String> uris() {
            return List.of();
        }

        @Override
        public CompletableFuture<Void> stopTaking() {
            return CompletableFuture.completedFuture(null);
        }

        @Override
        public CompletableFuture<Void> close() {
            return CompletableFuture.completedFuture(null);
        }

        Disk openChain(String chain, String allow) throws Exception {
            return disks.chains()
                    .open("device 1", chain, ChainPolicy.parse(allow))
                    .get(20, TimeUnit.SECONDS);
        }
    }

    private final OpeningTap tap = new OpeningTap();

    private BlocktapServer start() throws Exception {
        return BlocktapServer.builder().modules(tap).tap("opening").start();
    }

    private String image() throws Exception {
        Path file = directory.resolve("a.img");
        Files.write(file, new byte[1 << 20]);
        return file.toString();
    }

    @Test
    void opensWhatIsAllowedAndClosesItForTheNext() throws Exception {
        try (BlocktapServer server = start()) {
            String chain = "count image:" + image();
            String allow = "count image:" + directory + "/*";

            Disk disk = tap.openChain(chain, allow);

            assertThat(disk.geometry().sizeBytes()).isEqualTo(1 << 20);
            assertThat(disk.stageNames()).containsExactly("count", "image");
            assertThat(server.disks()).isEmpty();
            assertThat(tap.disks.find("device 1")).isEmpty();
            assertThatThrownBy(() -> tap.openChain(chain, allow)).hasMessageContaining("in use");

            tap.disks.chains().close(disk).get(20, TimeUnit.SECONDS);

            assertThat(disk.state()).isEqualTo(Disk.State.CLOSED);
            assertThat(tap.openChain(chain, allow).state()).isEqualTo(Disk.State.SERVING);
        }
    }

    @Test
    void theServersEndClosesThem() throws Exception {
        Disk disk;
        try (BlocktapServer server = start()) {
            disk = tap.openChain("memory:1M", "memory:*");
            assertThat(server.disks()).isEmpty();
        }

        assertThat(disk.state()).isEqualTo(Disk.State.CLOSED);
    }

    @Test
    void opensNoneWhenTheServerGoesDown() throws Exception {
        try (BlocktapServer server = start()) {
            server.drain().get(20, TimeUnit.SECONDS);

            assertThatThrownBy(() -> tap.openChain("memory:1M", "memory:*"))
                    .hasMessageContaining("the server is going down");
        }
    }

    @Test
    void saysWhatIsWrongWithAChain() throws Exception {
        try (BlocktapServer server = start()) {
            String image = image();
            String allow = "image:" + directory + "/*";

            assertThatThrownBy(() -> tap.openChain("image:/etc/passwd", allow))
                    .hasMessageContaining("'image:/etc/passwd' is not allowed: allow=" + allow);
            assertThatThrownBy(() -> tap.openChain("dump image:" + image, allow))
                    .hasMessageContaining("'dump' is not allowed");
            assertThatThrownBy(() -> tap.openChain("vm1", allow))
                    .hasMessageContaining("'vm1': there is no disk and no stage 'vm1'");
            assertThatThrownBy(() -> tap.openChain("image:" + image + ",siz=3", allow))
                    .hasMessageContaining("image has no option 'siz'; did you mean size?");
            assertThatThrownBy(() -> tap.openChain("image:" + image + " image:" + image, allow))
                    .hasMessageContaining("image is a terminator and ends a chain");
            assertThatThrownBy(() -> tap.openChain("im\007age", allow))
                    .hasMessageContaining("is no name")
                    .hasMessageContaining("im?age");
            assertThat(tap.disks.chains().all()).isEmpty();
            assertThat(server.disks()).isEmpty();
        }
    }

    @Test
    void aServerWithoutSuchATapNeedsADisk() {
        assertThatThrownBy(() -> BlocktapServer.builder()
                        .tap("nbd:unix=" + directory.resolve("s"))
                        .start())
                .hasMessageContaining("no disk");
    }
}
