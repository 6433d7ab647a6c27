package io.blocktap.launcher;

import io.blocktap.launcher.xen.VirtualDevice;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionParser;
import java.time.Duration;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Which disk of which guest, and how long to wait for it. */
final class XenDeviceOptions {
    @Parameters(index = "0", paramLabel = "DOMAIN", description = "The guest, by name or id.")
    @SuppressWarnings("NullAway.Init")
    private String domain;

    @Parameters(index = "1", paramLabel = "VDEV", description = "What it sees: xvda, xvdb1, sda, hda, or a number.")
    @SuppressWarnings("NullAway.Init")
    private String vdev;

    @Option(
            names = "--timeout",
            paramLabel = "TIME",
            defaultValue = "30s",
            description = "How long to wait for the server and the guest, default ${DEFAULT-VALUE}.")
    private String timeout = "30s";

    String domain() {
        return domain;
    }

    VirtualDevice device() throws ConfigException {
        return VirtualDevice.parse(vdev);
    }

    Duration limit() throws ConfigException {
        try {
            Duration limit = OptionParser.duration(timeout);
            if (!limit.isZero() && limit.compareTo(Duration.ofHours(1)) <= 0) {
                return limit;
            }
        } catch (ConfigException e) {
            throw new ConfigException("--timeout " + timeout + ": " + e.getMessage());
        }
        throw new ConfigException("--timeout " + timeout + ": it is 1ns to 60min, for example 30s");
    }
}
