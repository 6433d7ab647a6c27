package io.blocktap.launcher.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.testkit.MemoryXenstored;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenbusState;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The nodes are what a server and a guest need; each end of a wait is told in one line. */
final class XenToolstackTest {
    private static final String BACKEND = "/local/domain/0/backend/tap/7/51712";
    private static final String FRONTEND = "/local/domain/7/device/vbd/51712";
    private static final Duration LONG = Duration.ofSeconds(20);
    private static final Duration SHORT = Duration.ofMillis(200);

    @TempDir
    private Path directory;

    private MemoryXenstored store;
    private XenHost host;
    private XenToolstack toolstack;

    @BeforeEach
    void start() throws IOException, StageException {
        Path socket = directory.resolve("socket");
        store = new MemoryXenstored(socket);
        store.set("/local/domain/0/domid", "0").set("/local/domain/0/name", "Domain-0");
        store.set("/local/domain/7/name", "g1").set("/local/domain/7/device", "");
        host = XenHost.connect(EventLoops.create(EventLoopKind.EPOLL, 1), XenStoreEndpoint.socket(socket));
        toolstack = new XenToolstack(host);
    }

    @AfterEach
    void end() throws IOException {
        host.close();
        store.close();
    }

    private XenDevice xvda() throws StageException, ConfigException {
        return toolstack.device("g1", VirtualDevice.parse("xvda"), "tap");
    }

    private XenDevice create(String params) throws StageException, ConfigException {
        XenDevice device = xvda();
        toolstack.create(device, params, XenToolstack.Mode.READ_WRITE);
        return device;
    }

    /** Plays the server, and the guest: as soon as one node has a value, others get theirs. */
    private void when(String path, String value, String... thenPathsAndValues) {
        store.onChange(changed -> {
            if (changed.equals(path) && value.equals(store.get(path))) {
                for (int i = 0; i < thenPathsAndValues.length; i += 2) {
                    store.set(thenPathsAndValues[i], thenPathsAndValues[i + 1]);
                }
            }
        });
    }

    @Test
    void writesBothSidesWithTheRightsThatBothNeed() throws Exception {
        create("dump image:/srv/a.img");

        assertThat(store.below(BACKEND))
                .containsExactlyInAnyOrder(
                        "frontend=" + FRONTEND,
                        "frontend-id=7",
                        "params=dump image:/srv/a.img",
                        "online=1",
                        "removable=0",
                        "bootable=1",
                        "dev=xvda",
                        "type=tap",
                        "mode=w",
                        "device-type=disk",
                        "state=1");
        assertThat(store.below(FRONTEND))
                .containsExactlyInAnyOrder(
                        "backend=" + BACKEND, "backend-id=0", "virtual-device=51712", "device-type=disk", "state=1");
        assertThat(store.permissions(BACKEND + "/params")).containsExactly("n0", "r7");
        assertThat(store.permissions(FRONTEND + "/state")).containsExactly("n7", "r0");
    }

    @Test
    void refusesADeviceThatIsThere() throws Exception {
        create("");

        assertThatThrownBy(() -> create("other"))
                .isInstanceOf(StageException.class)
                .hasMessage(
                        "xvda of g1 (domain 7) is there already (" + BACKEND + "); choose another, or detach it first");
        assertThat(store.get(BACKEND + "/params")).isEmpty();
    }

    @Test
    void refusesADomainThatIsNotThere() {
        assertThatThrownBy(() -> toolstack.device("g2", new VirtualDevice(51712), "tap"))
                .hasMessage("there is no domain 'g2'; there is Domain-0, g1");
        assertThatThrownBy(() -> toolstack.create(
                        toolstack.device("9", new VirtualDevice(51712), "tap"), "", XenToolstack.Mode.READ_WRITE))
                .hasMessage("there is no domain 9");
        assertThat(store.get("/local/domain/0/backend/tap")).isNull();
    }

    @Test
    void waitsUntilTheGuestHasConnected() throws Exception {
        when(BACKEND + "/state", "1", BACKEND + "/state", "2", FRONTEND + "/state", "4", BACKEND + "/state", "4");

        XenDevice device = create("");

        assertThat(toolstack.awaitServed(device, XenbusState.CONNECTED, LONG)).isEqualTo(XenbusState.CONNECTED);
    }

    @Test
    void tellsTheServersErrorAndLeavesNothingBehind() throws Exception {
        when(
                FRONTEND + "/state",
                "1",
                BACKEND + "/error",
                "'image:/etc/shadow' is not allowed",
                BACKEND + "/state",
                "6");

        XenDevice device = create("image:/etc/shadow");

        assertThatThrownBy(() -> toolstack.awaitServed(device, XenbusState.CONNECTED, LONG))
                .hasMessage("xvda of g1 (domain 7): 'image:/etc/shadow' is not allowed");
        assertThat(store.below("/local/domain/0/backend/tap")).isEmpty();
        assertThat(store.get(FRONTEND)).isNull();
    }

    @Test
    void saysThatNoServerRunsAndLeavesNothingBehind() throws Exception {
        XenDevice device = create("");

        assertThatThrownBy(() -> toolstack.awaitServed(device, XenbusState.CONNECTED, SHORT))
                .hasMessageContaining("no server has taken it within 200 ms")
                .hasMessageContaining("is 'blocktap serve --tap xen ...' running in domain 0?");
        assertThat(store.get(BACKEND)).isNull();
    }

    @Test
    void leavesADeviceOfferedIfTheGuestDoesNotCome() throws Exception {
        when(FRONTEND + "/state", "1", BACKEND + "/state", "2");
        XenDevice device = create("");

        assertThat(toolstack.awaitServed(device, XenbusState.INIT_WAIT, LONG)).isEqualTo(XenbusState.INIT_WAIT);
        assertThatThrownBy(() -> toolstack.awaitServed(device, XenbusState.CONNECTED, SHORT))
                .hasMessageContaining(
                        "offered, but the guest has not connected within 200 ms (server InitWait, guest Initialising)");
        assertThat(store.get(BACKEND + "/state")).isEqualTo("2");
    }

    @Test
    void detachesInOrder() throws Exception {
        create("");
        store.set(BACKEND + "/state", "4");
        when(BACKEND + "/state", "5", FRONTEND + "/state", "6", BACKEND + "/state", "6");

        XenDevice device = toolstack.find("g1", VirtualDevice.parse("xvda"));
        boolean isClosed = toolstack.close(device, LONG);

        assertThat(isClosed).isTrue();
        assertThat(store.get(BACKEND + "/online")).isEqualTo("0");

        toolstack.remove(device);

        assertThat(store.get("/local/domain/0/backend/tap/7")).isNull();
        assertThat(store.get(FRONTEND)).isNull();
        assertThat(store.get("/local/domain/7/device/vbd")).isNotNull();
    }

    @Test
    void saysThatAGuestDoesNotLetGo() throws Exception {
        create("");
        store.set(BACKEND + "/state", "4");

        assertThat(toolstack.close(toolstack.find("7", VirtualDevice.parse("xvda")), SHORT))
                .isFalse();
        assertThat(store.get(BACKEND + "/state")).isEqualTo("5");
    }

    @Test
    void findsOnlyDevicesOfOurKinds() {
        store.set("/local/domain/0/backend/vbd/7/51712/frontend", FRONTEND);

        assertThatThrownBy(() -> toolstack.find("g1", VirtualDevice.parse("xvda")))
                .hasMessageContaining("g1 (domain 7) has no disk xvda of ours");
    }

    @Test
    void removesWhatADeadGuestHasLeft() throws Exception {
        store.set("/local/domain/0/backend/vbd3/5/51712/frontend", "/local/domain/5/device/vbd/51712");

        XenDevice device = toolstack.find("5", VirtualDevice.parse("xvda"));
        toolstack.remove(device);

        assertThat(device.kind()).isEqualTo("vbd3");
        assertThat(store.get("/local/domain/0/backend/vbd3/5")).isNull();
    }

    // ---- the list

    private void connected() throws Exception {
        create("vm1");
        store.set(BACKEND + "/state", "4").set(BACKEND + "/sectors", "2048");
        store.set(BACKEND + "/feature-flush-cache", "1").set(BACKEND + "/feature-discard", "0");
        store.set(BACKEND + "/feature-max-indirect-segments", "256");
        store.set(FRONTEND + "/state", "4").set(FRONTEND + "/protocol", "x86_64-abi");
        store.set(FRONTEND + "/multi-queue-num-queues", "2").set(FRONTEND + "/ring-page-order", "4");
    }

    @Test
    void listsWhatXenstoreTells() throws Exception {
        connected();

        List<Map<String, Object>> devices = new XenDeviceList(host, directory).read();

        assertThat(devices).hasSize(1);
        assertThat(devices.get(0))
                .containsEntry("domid", 7)
                .containsEntry("domain", "g1")
                .containsEntry("vdev", "xvda")
                .containsEntry("device", 51712)
                .containsEntry("backendState", "Connected")
                .containsEntry("frontendState", "Connected")
                .containsEntry("params", "vm1")
                .containsEntry("mode", "w")
                .containsEntry("rings", 2L)
                .containsEntry("pagesPerRing", 16)
                .containsEntry("protocol", "x86_64-abi")
                .containsEntry("sizeBytes", 1L << 20)
                .containsEntry("features", Map.of("flush", true, "discard", false, "maxIndirectSegments", 256L))
                .containsEntry("counters", null)
                .containsEntry("inFlight", null)
                .containsEntry("error", null);
    }

    @Test
    void believesNoGuestsNumbers() throws Exception {
        connected();
        store.set(FRONTEND + "/multi-queue-num-queues", "99999999999999999999")
                .set(FRONTEND + "/ring-page-order", "-1");

        assertThat(new XenDeviceList(host, directory).read().get(0))
                .containsEntry("rings", null)
                .containsEntry("pagesPerRing", null);
    }

    private void writeStatus(long pid, long startedMillis) throws IOException {
        Files.writeString(directory.resolve("xen-tap.json"), """
                {"version": 1, "kind": "tap", "pid": %d, "startedMillis": %d, "writtenMillis": 1, "devices": [{"domid": 7, "device": 51712,
                 "disk": "vm1", "chain": "dump image:/srv/\\"a\\u0009.img", "sizeBytes": 1, "readOnly": false, "inFlight": 3,
                 "storage": [{"stage": "gnbd", "state": "reconnecting", "reason": "r"}],
                 "counters": {"reads": 5}}]}
                """.formatted(pid, startedMillis));
    }

    @Test
    void addsWhatALivingServerCounts() throws Exception {
        connected();
        ProcessHandle self = ProcessHandle.current();
        writeStatus(self.pid(), self.info().startInstant().orElseThrow().toEpochMilli());

        assertThat(new XenDeviceList(host, directory).read().get(0))
                .containsEntry("inFlight", 3)
                .containsEntry("storage", List.of(Map.of("stage", "gnbd", "state", "reconnecting", "reason", "r")))
                .containsEntry("disk", "vm1")
                .containsEntry("chain", "dump image:/srv/\"a\t.img")
                .containsEntry("counters", Map.of("reads", 5));
    }

    @Test
    void addsNothingOfAServerThatIsGone() throws Exception {
        connected();
        writeStatus(ProcessHandle.current().pid(), 1000);

        assertThat(new XenDeviceList(host, directory).read().get(0))
                .containsEntry("inFlight", null)
                .containsEntry("counters", null);
    }
}
