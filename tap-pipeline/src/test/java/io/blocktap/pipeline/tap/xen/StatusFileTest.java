package io.blocktap.pipeline.tap.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The file is whole whenever it is there, and gone with the server. */
final class StatusFileTest {
    @TempDir
    private Path directory;

    @Test
    void tellsItsProcessAndGoesWithIt() throws Exception {
        Path folder = directory.resolve("run/blocktap");
        Path file = folder.resolve("xen-tap.json");
        try (StatusFile status = new StatusFile(folder, "tap", () -> CompletableFuture.completedFuture(List.of()))) {
            assertThat(status).isNotNull();
            await().until(() -> Files.exists(file));

            assertThat(Files.readString(file))
                    .startsWith("{\"version\": 1, \"kind\": \"tap\", \"pid\": "
                            + ProcessHandle.current().pid())
                    .endsWith("\"devices\": []}\n");
        }

        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void isNotWrittenAgainIfNothingHasChanged() throws Exception {
        AtomicInteger asked = new AtomicInteger();
        Path file = directory.resolve("xen-tap.json");
        try (StatusFile status = new StatusFile(directory, "tap", () -> {
            asked.incrementAndGet();
            return CompletableFuture.completedFuture(List.of());
        })) {
            assertThat(status).isNotNull();
            await().until(() -> Files.exists(file));
            String first = Files.readString(file);
            await().until(() -> asked.get() >= 3);

            assertThat(Files.readString(file)).isEqualTo(first);
        }
    }

    @Test
    void linkThatSomebodyHasPutThereIsNotFollowed() throws Exception {
        Path precious = Files.writeString(directory.resolve("precious"), "kept");
        Files.createSymbolicLink(directory.resolve("xen-tap.json.new"), precious);
        Path file = directory.resolve("xen-tap.json");
        try (StatusFile status = new StatusFile(directory, "tap", () -> CompletableFuture.completedFuture(List.of()))) {
            assertThat(status).isNotNull();
            await().until(() -> Files.exists(file));

            assertThat(file).isRegularFile();
            assertThat(precious).hasContent("kept");
        }
    }

    @Test
    void takesAwayWhatLibxlPutsBeforeTheTarget() {
        assertThat(DeviceDisk.target("aio:image:/srv/a.img")).isEqualTo("image:/srv/a.img");
        assertThat(DeviceDisk.target("vhd:vm1")).isEqualTo("vm1");
        assertThat(DeviceDisk.target("aio:")).isEmpty();
        assertThat(DeviceDisk.target("vm1")).isEqualTo("vm1");
    }
}
