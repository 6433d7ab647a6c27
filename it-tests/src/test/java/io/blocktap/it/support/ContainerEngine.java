package io.blocktap.it.support;

import com.github.dockerjava.api.DockerClient;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.images.builder.ImageFromDockerfile;

/**
 * The container engine that tests use: the user's, or our own, which {@code ./check} starts ({@code src/test/containers/engine.sh}). Where there is none, tests are
 * skipped with a line that says why; with {@code BLOCKTAP_REQUIRE_CONTAINERS=1}, which CI sets, they fail.
 */
public final class ContainerEngine {
    private static final Path SCRIPT = Blocktap.root().resolve("it-tests/src/test/containers/engine.sh");
    private static final Duration START_LIMIT = Duration.ofMinutes(5);
    private static final String STOCK_IMAGE = "eclipse-temurin:17-jre";

    private static @Nullable String image;
    private static @Nullable String missing;

    private ContainerEngine() {}

    /** Returns the engine, or skips the test. */
    public static DockerClient require() {
        image();
        return DockerClientFactory.instance().client();
    }

    /** Returns the name of blocktap's image, made from the Dockerfile that users have; skips the test if there is no engine. */
    public static synchronized String image() {
        if ("0".equals(System.getenv("BLOCKTAP_CHECK_CONTAINERS"))) {
            Tool.skip("containers are left out: BLOCKTAP_CHECK_CONTAINERS=0");
        }
        if (image == null && missing == null) {
            try {
                awaitOurEngine();
                image = DockerClientFactory.instance().isDockerAvailable() ? build() : null;
                missing = "no container engine answers";
            } catch (RuntimeException | IOException e) {
                missing = "no container can be made: " + e.getMessage();
            }
        }
        if (image == null) {
            if ("1".equals(System.getenv("BLOCKTAP_REQUIRE_CONTAINERS"))) {
                throw new AssertionError(missing + "; BLOCKTAP_REQUIRE_CONTAINERS=1 demands one");
            }
            Tool.skip(String.valueOf(missing));
            throw new IllegalStateException("not reached");
        }
        return image;
    }

    /** Our own is started in the background; the script waits for it, or starts it now. */
    private static void awaitOurEngine() {
        if ("own".equals(System.getenv("BLOCKTAP_IT_ENGINE"))) {
            Exec.Result started = Exec.run(START_LIMIT, SCRIPT, "start");
            if (started.exitCode() != 0) {
                throw new IllegalStateException(started.err().strip());
            }
        }
    }

    /** Docker's context is the folder launcher, as docs/containers.md says; another folder than target is put in its place. */
    private static String build() throws IOException {
        Path launcher = Blocktap.root().resolve("launcher");
        Path built = launcher.resolve(System.getenv().getOrDefault("BLOCKTAP_BUILD", "target"));
        // One name a checkout: the next build replaces this one.
        String name = "localhost/blocktap-it:" + Integer.toHexString(launcher.hashCode());
        String base = System.getenv().getOrDefault("BLOCKTAP_IT_IMAGE", STOCK_IMAGE);
        return new ImageFromDockerfile(name, true)
                .withFileFromPath("Dockerfile", launcher.resolve("Dockerfile"))
                .withFileFromPath("target/lib", built.resolve("lib"))
                .withFileFromPath("target/blocktap-launcher.jar", built.resolve("blocktap-launcher.jar"))
                .withBuildArg("BASE_IMAGE", base)
                .get();
    }
}
