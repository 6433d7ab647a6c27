package io.blocktap.launcher;

import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import io.blocktap.launcher.xen.XenHost;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionParser;
import io.blocktap.transport.TapException;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import java.time.Duration;

/** What the commands about Xen share. */
final class XenHosts {
    private XenHosts() {}

    /** Connects to this machine's xenstore. */
    static XenHost connect() throws StageException {
        XenStoreEndpoint endpoint;
        try {
            endpoint = XenStoreEndpoint.find();
        } catch (TapException e) {
            throw new StageException(String.valueOf(e.getMessage()), e);
        }
        return XenHost.connect(EventLoops.create(EventLoopKind.AUTO, 1), endpoint);
    }

    /** Reads the value of {@code --timeout}. */
    static Duration timeout(String text) throws ConfigException {
        try {
            Duration limit = OptionParser.duration(text);
            if (!limit.isZero() && limit.compareTo(Duration.ofHours(1)) <= 0) {
                return limit;
            }
        } catch (ConfigException e) {
            throw new ConfigException("--timeout " + text + ": " + e.getMessage());
        }
        throw new ConfigException("--timeout " + text + ": it is 1ns to 60min, for example 30s");
    }
}
