package io.blocktap.it.support;

import static org.assertj.core.api.Assertions.assertThat;

import com.github.dockerjava.api.DockerClient;
import com.github.dockerjava.api.model.Bind;
import com.github.dockerjava.api.model.Capability;
import com.github.dockerjava.api.model.ExposedPort;
import com.github.dockerjava.api.model.HostConfig;
import com.github.dockerjava.api.model.PortBinding;
import com.github.dockerjava.api.model.Ports;
import com.github.dockerjava.api.model.Volume;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.testcontainers.containers.Container.ExecResult;
import org.testcontainers.containers.ContainerLaunchException;
import org.testcontainers.containers.ExecConfig;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.Network;
import org.testcontainers.containers.wait.strategy.Wait;

/**
 * A GNBD server in a container: blocktap's image serving one disk, whose file is in a directory of this machine, and what can happen to it. A field of a test class with
 * {@code @RegisterExtension}: the container ends with its test, and prints its log if that has failed.
 *
 * <p>What a client sees: a pause or a link that is down is silence, on a connection that stays open; off the network, killed or stopped, its connection ends at once
 * and new ones are refused. It finds the server again at the same port: one that the engine chose would change with every start.
 */
public final class GnbdContainer implements AfterEachCallback {
    /** The name of the export. */
    public static final String EXPORT = "disk";

    private static final int INNER_PORT = 14567;
    private static final Duration START_LIMIT = Duration.ofSeconds(60);
    private static final int STOP_LIMIT_SECONDS = 10;
    private static final int PORT_TRIES = 3;

    private @Nullable Network network;
    private @Nullable GenericContainer<?> container;
    private int port;

    /**
     * Starts it.
     *
     * @param directory where relative paths of the chain are; the server runs as its owner
     * @param chain the stages, which end in a terminator
     */
    public void serve(Path directory, String... chain) {
        String image = ContainerEngine.image();
        network = Network.newNetwork();
        List<String> words = new ArrayList<>(List.of("serve", "--tap", "gnbd:tcp=0.0.0.0:" + INNER_PORT));
        words.addAll(List.of(chain));
        for (int tries = 1; ; tries++) {
            port = freePort();
            container = container(image, directory, words);
            try {
                container.start();
                return;
            } catch (ContainerLaunchException e) {
                // Somebody else may have taken the port since.
                if (tries == PORT_TRIES
                        || !causes(e).contains("port is already allocated")
                                && !causes(e).contains("address already in use")) {
                    throw e;
                }
                container.stop();
            }
        }
    }

    private GenericContainer<?> container(String image, Path directory, List<String> words) {
        String owner = owner(directory);
        return new GenericContainer<>(image)
                .withCommand(words.toArray(String[]::new))
                .withNetwork(network)
                .withExposedPorts(INNER_PORT)
                .withCreateContainerCmdModifier(command -> {
                    HostConfig host = command.getHostConfig();
                    host.withBinds(new Bind(directory.toString(), new Volume("/disks")))
                            .withPortBindings(new PortBinding(
                                    Ports.Binding.bindIpAndPort("127.0.0.1", port), ExposedPort.tcp(INNER_PORT)))
                            .withCapAdd(Capability.NET_ADMIN);
                    command.withUser(owner);
                })
                // A connection to the port proves nothing: the engine takes it before the server listens.
                .waitingFor(Wait.forLogMessage("ready: .*\\n", 1).withStartupTimeout(START_LIMIT));
    }

    private static String owner(Path directory) {
        try {
            return Files.getAttribute(directory, "unix:uid") + ":" + Files.getAttribute(directory, "unix:gid");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static int freePort() {
        try (ServerSocket socket = new ServerSocket()) {
            socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String causes(Throwable failure) {
        StringBuilder all = new StringBuilder();
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            all.append(cause.getMessage()).append('\n');
        }
        return all.toString();
    }

    private GenericContainer<?> running() {
        if (container == null) {
            throw new IllegalStateException("serve() first");
        }
        return container;
    }

    private String id() {
        return running().getContainerId();
    }

    private DockerClient engine() {
        return running().getDockerClient();
    }

    private String networkId() {
        if (network == null) {
            throw new IllegalStateException("serve() first");
        }
        return network.getId();
    }

    /** Returns the port on 127.0.0.1. */
    public int port() {
        return port;
    }

    /** Returns all that the server has printed, in all its lives. */
    public String log() {
        return running().getLogs();
    }

    // ---- what can happen to it

    /** Freezes the server's processes. */
    public void pause() {
        engine().pauseContainerCmd(id()).exec();
    }

    /** Lets them go on. */
    public void unpause() {
        engine().unpauseContainerCmd(id()).exec();
    }

    /** Takes it off its network. */
    public void disconnect() {
        engine().disconnectFromNetworkCmd()
                .withNetworkId(networkId())
                .withContainerId(id())
                .exec();
    }

    /** Puts it on its network again. */
    public void connect() {
        engine().connectToNetworkCmd()
                .withNetworkId(networkId())
                .withContainerId(id())
                .exec();
    }

    /** Ends the server by SIGKILL. */
    public void kill() {
        engine().killContainerCmd(id()).exec();
    }

    /** Starts it again, with the same command at the same port, and does not wait until it serves. */
    public void start() {
        engine().startContainerCmd(id()).exec();
    }

    /**
     * Stops it as {@code docker stop} does: SIGTERM, and SIGKILL after 10 seconds.
     *
     * @return the server's exit code
     */
    public long stop() {
        engine().stopContainerCmd(id()).withTimeout(STOP_LIMIT_SECONDS).exec();
        Long exitCode = engine().inspectContainerCmd(id()).exec().getState().getExitCodeLong();
        if (exitCode == null) {
            throw new AssertionError("stopped, but without an exit code");
        }
        return exitCode;
    }

    /** Takes the link inside of the container down; skips the test if the image has no {@code ip}. */
    public void linkDown() {
        ExecResult result = link("down");
        if (result.getExitCode() == 126 || result.getExitCode() == 127) {
            Tool.skip("the image has no program ip, by which the link would be taken down");
        }
        assertThat(result.getExitCode()).as(result.toString()).isZero();
    }

    /** Takes the link up again. */
    public void linkUp() {
        ExecResult result = link("up");
        assertThat(result.getExitCode()).as(result.toString()).isZero();
    }

    private ExecResult link(String state) {
        try {
            return running()
                    .execInContainer(ExecConfig.builder()
                            .user("0")
                            .command(new String[] {"ip", "link", "set", "eth0", state})
                            .build());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
    }

    @Override
    public void afterEach(ExtensionContext test) {
        if (container != null && container.getContainerId() != null) {
            if (test.getExecutionException().isPresent()) {
                System.err.println(test.getDisplayName() + ": the container has printed\n" + log());
            }
            container.stop();
        }
        if (network != null) {
            network.close();
        }
    }
}
