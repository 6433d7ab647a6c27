package io.blocktap.launcher.xen;

import io.blocktap.pipeline.StageException;
import io.blocktap.transport.Printable;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenStoreException;
import io.blocktap.transport.xen.store.XenStoreNodes;
import io.blocktap.transport.xen.store.XenStorePath;
import io.netty.channel.EventLoopGroup;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** This machine's xenstore, for a command that waits for each answer. Not thread-safe. */
public final class XenHost implements AutoCloseable {
    private static final int ANSWER_SECONDS = 30;
    private static final XenStorePath DOMAINS = XenStorePath.of("/local/domain");

    private final EventLoopGroup loops;
    private final XenStore store;
    private final int ownDomid;

    /**
     * A domain.
     *
     * @param name empty if it has none, or is gone
     */
    public record Domain(int domid, String name) {
        XenStorePath path() {
            return DOMAINS.child(domid);
        }

        @Override
        public String toString() {
            return name.isEmpty() ? "domain " + domid : name + " (domain " + domid + ")";
        }
    }

    private XenHost(EventLoopGroup loops, XenStore store, int ownDomid) {
        this.loops = loops;
        this.store = store;
        this.ownDomid = ownDomid;
    }

    /**
     * Connects.
     *
     * @param loops taken over; closed with this
     * @throws StageException if there is no xenstore here, or it does not answer; one line that says what would be right
     */
    public static XenHost connect(EventLoopGroup loops, XenStoreEndpoint endpoint) throws StageException {
        boolean isConnected = false;
        try {
            XenStore store = await(XenStore.connect(loops.next(), endpoint));
            Optional<String> own = await(store.readIfPresent(XenStorePath.of("domid")));
            isConnected = true;
            return new XenHost(loops, store, Integer.parseInt(own.orElse("0").strip()));
        } finally {
            if (!isConnected) {
                end(loops);
            }
        }
    }

    private static void end(EventLoopGroup loops) {
        loops.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }

    /** Waits for an answer. */
    static <T> T await(CompletableFuture<T> future) throws StageException {
        try {
            return future.get(ANSWER_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            while (cause instanceof CompletionException && cause.getCause() != null) {
                cause = cause.getCause();
            }
            String hint = XenStoreException.is(cause, XenStoreException.EACCES) ? "; run as root in domain 0" : "";
            throw new StageException(cause.getMessage() + hint, cause);
        } catch (TimeoutException e) {
            throw new StageException("xenstored does not answer within " + ANSWER_SECONDS + " s", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new StageException("interrupted", e);
        }
    }

    XenStore store() {
        return store;
    }

    /** Returns the domain that this runs in, whose backends are served here. */
    public int ownDomid() {
        return ownDomid;
    }

    String read(XenStoreNodes nodes, XenStorePath path, String otherwise) throws StageException {
        return await(nodes.readIfPresent(path)).orElse(otherwise);
    }

    /** Lists the names below a node; none if there is no such node. */
    List<String> list(XenStorePath path) throws StageException {
        return await(store.list(path)
                .exceptionallyCompose(failure -> XenStoreException.is(failure, XenStoreException.ENOENT)
                        ? CompletableFuture.completedFuture(List.of())
                        : CompletableFuture.failedFuture(failure)));
    }

    /**
     * Finds a domain.
     *
     * @param nameOrId as people write it: a number is an id
     * @throws StageException if there is none of that name. An id is believed: what is left of a domain that is gone can be removed
     */
    public Domain domain(String nameOrId) throws StageException {
        if (nameOrId.matches("\\d{1,5}")) {
            int domid = Integer.parseInt(nameOrId);
            return new Domain(domid, nameOf(domid));
        }
        List<String> names = new ArrayList<>();
        for (String each : list(DOMAINS)) {
            if (each.matches("\\d{1,5}")) {
                Domain domain = new Domain(Integer.parseInt(each), nameOf(Integer.parseInt(each)));
                if (domain.name().equals(nameOrId)) {
                    return domain;
                }
                names.add(Printable.of(domain.name()));
            }
        }
        throw new StageException(
                "there is no domain '" + Printable.of(nameOrId) + "'; there is " + String.join(", ", names));
    }

    String nameOf(int domid) throws StageException {
        return read(store, DOMAINS.child(domid).child("name"), "");
    }

    /** Returns whether the domain is there. */
    boolean exists(Domain domain) throws StageException {
        return domain.domid() == 0 || await(store.isIntroduced(domain.domid()));
    }

    /** Ends the connection. */
    @Override
    public void close() {
        store.close();
        end(loops);
    }
}
