package io.blocktap.transport.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.SeqPacketSocket;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The xenstore is found where it is, and where it should be is told. */
class XenStoreEndpointTest {
    @TempDir
    private Path root;

    private Path device(String path) throws IOException {
        Path device = root.resolve(path);
        Files.createDirectories(device.getParent());
        return Files.createFile(device);
    }

    private SeqPacketSocket socket(String path) throws IOException {
        Path socket = root.resolve(path);
        Files.createDirectories(socket.getParent());
        return SeqPacketSocket.listenOn(socket.toString());
    }

    @Test
    void tellsWhatIsMissingInOneLine() {
        assertThatThrownBy(() -> XenStoreEndpoint.find(Map.of(), root))
                .isInstanceOf(TapException.class)
                .hasMessage(
                        "no xenstore here: none of /run/xenstored/socket, /var/run/xenstored/socket, /dev/xen/xenbus,"
                                + " /proc/xen/xenbus exists; on a Xen host start xenstored, in another domain load the module"
                                + " xenfs, or set XENSTORED_PATH");
    }

    @Test
    void prefersTheSocket() throws IOException {
        device("dev/xen/xenbus");
        try (SeqPacketSocket socket = socket("run/xenstored/socket")) {
            XenStoreEndpoint found = XenStoreEndpoint.find(Map.of(), root);

            assertThat(socket.fd().isOpen()).isTrue();
            assertThat(found).hasToString(root.resolve("run/xenstored/socket").toString());
            assertThat(found.mayReconnect()).isTrue();
            assertThat(found.payloadMaxBytes()).isEqualTo(4096);
        }
    }

    @Test
    void takesTheOlderSocketAndTheDevices() throws IOException {
        Path old = device("proc/xen/xenbus");
        assertThat(XenStoreEndpoint.find(Map.of(), root)).hasToString(old.toString());

        Path device = device("dev/xen/xenbus");
        XenStoreEndpoint found = XenStoreEndpoint.find(Map.of(), root);
        assertThat(found).hasToString(device.toString());
        assertThat(found.mayReconnect()).isFalse();
        assertThat(found.payloadMaxBytes()).isEqualTo(4080);

        try (SeqPacketSocket socket = socket("var/run/xenstored/socket")) {
            assertThat(socket.fd().isOpen()).isTrue();
            assertThat(XenStoreEndpoint.find(Map.of(), root))
                    .hasToString(root.resolve("var/run/xenstored/socket").toString());
        }
    }

    @Test
    void variablesCount() throws IOException {
        Path device = device("here");
        try (SeqPacketSocket socket = socket("folder/socket")) {
            assertThat(socket.fd().isOpen()).isTrue();
            assertThat(XenStoreEndpoint.find(
                            Map.of("XENSTORED_RUNDIR", root.resolve("folder").toString()), root))
                    .hasToString(root.resolve("folder/socket").toString());
        }
        assertThat(XenStoreEndpoint.find(
                                Map.of("XENSTORED_PATH", device.toString(), "XENSTORED_RUNDIR", "/nowhere"), root)
                        .mayReconnect())
                .isFalse();
    }

    @Test
    void variableThatNamesNothingIsAnError() throws IOException {
        device("dev/xen/xenbus");

        assertThatThrownBy(() -> XenStoreEndpoint.find(Map.of("XENSTORED_PATH", "/nowhere/s"), root))
                .isInstanceOf(TapException.class)
                .hasMessage(
                        "no xenstore at /nowhere/s (XENSTORED_PATH=/nowhere/s): start xenstored, or unset the variable");
        assertThatThrownBy(() -> XenStoreEndpoint.find(Map.of("XENSTORED_RUNDIR", "/nowhere"), root))
                .isInstanceOf(TapException.class)
                .hasMessageContaining("/nowhere/socket");
    }
}
