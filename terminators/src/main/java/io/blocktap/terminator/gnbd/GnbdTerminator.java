package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import java.util.EnumSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A disk of a GNBD server elsewhere (protocol 2 in the layout of 2004-07-09 and later).
 *
 * <p>Requests are cut into parts that the protocol can carry, all of them in flight at once, and answered in the order in which the server answers. When the server is away they
 * wait ({@link GnbdLink}).
 *
 * <p><b>FLUSH and FUA</b>: the protocol has neither. The original server writes through (O_SYNC), so a WRITE that was answered is on stable storage; so it is with our own tap,
 * unless it runs with write-back. A FLUSH has nothing to do and is answered at once.
 *
 * <p>Confined to the disk's home loop, where its connections are.
 */
public final class GnbdTerminator implements Stage, RequestHook {
    private static final Logger LOG = LoggerFactory.getLogger(GnbdTerminator.class);
    private static final int OPEN_SECONDS = 120;
    private static final int CLOSE_SECONDS = 10;
    private static final int DIRECT_IO_BYTES = 512;

    private final GnbdConfig config;
    /** Set before any request comes, and kept after the end: it answers requests that come too late. */
    private @Nullable GnbdLink link;

    private String label = "gnbd";

    GnbdTerminator(GnbdConfig config) {
        this.config = config;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        label = context.label();
        if (!Incarnation.take(config)) {
            throw new StageException(
                    "gnbd: another disk of this server uses export '" + config.export() + "' of " + config.server()
                            + " as node '" + config.node() + "' already; give this one a node=NAME of its own");
        }
        GnbdLink opening = new GnbdLink(config, context);
        boolean isOpen = false;
        try {
            Attempt.Opened opened = opening.open().get(OPEN_SECONDS, TimeUnit.SECONDS);
            LOG.info(
                    "[{}] export '{}' of {}: {} bytes, {}, as node '{}'",
                    label,
                    config.export(),
                    config.server(),
                    opened.sizeBytes(),
                    opened.export().isReadOnly() ? "read-only" : "writes are stable when they are answered",
                    config.node());
            link = opening;
            isOpen = true;
            return geometry(opened);
        } catch (ExecutionException e) {
            throw new StageException(
                    "gnbd: " + config.server() + ": " + Attempt.reason(e).getMessage());
        } catch (TimeoutException e) {
            throw new StageException(
                    "gnbd: " + config.server() + ": not logged in after " + OPEN_SECONDS + " s; is its disk stuck?");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new StageException("gnbd: " + config.server() + ": interrupted while logging in");
        } finally {
            if (!isOpen) {
                opening.close();
                Incarnation.giveBack(config);
            }
        }
    }

    private static Geometry geometry(Attempt.Opened opened) {
        EnumSet<Feature> features = EnumSet.of(Feature.FLUSH, Feature.FUA, Feature.MULTI_CONNECTION);
        if (opened.export().isReadOnly()) {
            features.add(Feature.READ_ONLY);
        }
        // An export with a timeout is one that the server uses with O_DIRECT: it drops the session at a misaligned
        // request.
        int unit = opened.export().timeoutSeconds() > 0 ? DIRECT_IO_BYTES : 1;
        return new Geometry(opened.sizeBytes(), unit, DIRECT_IO_BYTES, 4096, 0, 1, features);
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        GnbdLink open = link;
        if (open == null) {
            return request.respond(BlockStatus.IO_ERROR);
        }
        return switch (request.op()) {
            case READ, WRITE -> {
                if (request.lengthBytes() == 0) {
                    yield request.respond(BlockStatus.OK);
                }
                open.submit(request);
                yield Verdict.STOLEN;
            }
            case FLUSH -> request.respond(BlockStatus.OK);
            case DISCARD, WRITE_ZEROES -> request.respond(BlockStatus.UNSUPPORTED);
        };
    }

    @Override
    public void close() throws StageException {
        GnbdLink open = link;
        if (open == null) {
            return;
        }
        try {
            open.close().get(CLOSE_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new StageException("gnbd: the sessions with " + config.server() + " do not end", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            Incarnation.giveBack(config);
        }
    }
}
