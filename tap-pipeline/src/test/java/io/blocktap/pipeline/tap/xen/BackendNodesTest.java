package io.blocktap.pipeline.tap.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.testkit.MemoryXenstored;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreConfig;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenStoreListener;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenbusState;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a guest is told of a disk that changes its size. */
@Timeout(30)
final class BackendNodesTest {
    private static final String BACKEND = "/local/domain/0/backend/tap/7/51712";
    private static final String CONNECTED = "4";

    private final List<String> changed = Collections.synchronizedList(new java.util.ArrayList<>());
    private EventLoopGroup group;
    private MemoryXenstored server;
    private XenStore store;
    private BackendNodes nodes;

    @TempDir
    private Path directory;

    @BeforeEach
    void start() throws Exception {
        Path socket = directory.resolve("socket");
        server = new MemoryXenstored(socket);
        server.set(BACKEND + "/sectors", "2048").set(BACKEND + "/sector-size", "512");
        group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        store = get(XenStore.connect(
                group.next(), XenStoreEndpoint.socket(socket), XenStoreConfig.DEFAULT, XenStoreListener.NONE));
        nodes = new BackendNodes(store, XenStorePath.of(BACKEND));
    }

    @AfterEach
    void end() throws Exception {
        get(store.close());
        server.close();
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS).sync();
    }

    private static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(20, TimeUnit.SECONDS);
    }

    @Test
    void aConnectedGuestIsToldTheSectorsAndItsStateIsWrittenAgainInTheSameTransaction() throws Exception {
        server.set(BACKEND + "/state", CONNECTED);
        server.onChange(path -> changed.add(path + "=" + server.get(path)));

        get(nodes.resize(() -> Geometry.ofSize((4L << 40) + 1023)));

        await().until(() -> changed.size() >= 2); // watches fire after the transaction was answered
        assertThat(changed)
                .as("both are there when the first of the watches fires, and the state fires although it is the same")
                .containsExactly(BACKEND + "/sectors=8589934593", BACKEND + "/state=4");
        assertThat(server.get(BACKEND + "/sector-size")).isEqualTo("512");
    }

    @ParameterizedTest
    @ValueSource(strings = {"2", "5", "6"})
    void theEndThatTheToolstackHasAskedForIsNotTakenBackByANewSize(String state) throws Exception {
        server.set(BACKEND + "/state", state);
        server.onChange(changed::add);

        get(nodes.resize(() -> Geometry.ofSize(4L << 20)));

        assertThat(changed).isEmpty();
        assertThat(server.get(BACKEND + "/state")).isEqualTo(state);
        assertThat(server.get(BACKEND + "/sectors")).isEqualTo("2048");
    }

    @Test
    void aDeviceThatIsGoneDoesNotComeBack() throws Exception {
        server.onChange(changed::add);

        get(nodes.resize(() -> Geometry.ofSize(4L << 20)));

        assertThat(changed).isEmpty();
        assertThat(server.get(BACKEND + "/state")).isNull();
    }

    @ParameterizedTest
    @EnumSource(
            value = XenbusState.class,
            names = {"INIT_WAIT", "CONNECTED"})
    void theEndThatTheToolstackHasAskedForMeanwhileIsNotTakenBackByAnOfferOrAConnection(XenbusState state)
            throws Exception {
        server.set(BACKEND + "/frontend", "/local/domain/7/device/vbd/51712");
        server.set(BACKEND + "/state", "5").set(BACKEND + "/error", "too late");
        server.onChange(changed::add);

        get(nodes.write(Map.of("sectors", "7"), state));

        assertThat(changed).isEmpty();
        assertThat(server.get(BACKEND + "/state")).isEqualTo("5");

        server.set(BACKEND + "/state", "1");
        get(nodes.write(Map.of("sectors", "7"), state));

        assertThat(server.get(BACKEND + "/state")).isEqualTo(state.node());
        assertThat(server.get(BACKEND + "/sectors")).isEqualTo("7");
        assertThat(server.get(BACKEND + "/error")).isNull();
    }
}
