package io.blocktap.transport.xen.store;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * What can be done in xenstore, each by itself ({@link XenStore}) or together with others in a transaction.
 *
 * <p>Values are text, a character a byte (ISO 8859-1): a guest may write any bytes. Futures complete on the event loop; what fails, fails with a {@link
 * XenStoreException}.
 */
public interface XenStoreView {
    /** Reads a node's value; fails with {@code ENOENT} if it is not there. */
    CompletableFuture<String> read(String path);

    /** Reads a node's value, empty if it is not there. */
    default CompletableFuture<Optional<String>> find(String path) {
        return read(path)
                .handle((value, failure) -> {
                    if (failure == null) {
                        return CompletableFuture.completedFuture(Optional.of(value));
                    }
                    Throwable cause = XenStore.causeOf(failure);
                    return cause instanceof XenStoreException e && e.isNotThere()
                            ? CompletableFuture.completedFuture(Optional.<String>empty())
                            : CompletableFuture.<Optional<String>>failedFuture(cause);
                })
                .thenCompose(result -> result);
    }

    /** Lists the names below a node. */
    CompletableFuture<List<String>> list(String path);

    /** Writes a node's value, and makes it and its parents where they are not there. */
    CompletableFuture<Void> write(String path, String value);

    /** Makes a node, unless it is there. */
    CompletableFuture<Void> makeDirectory(String path);

    /** Removes a node with all below it; one that is not there is no error if its parent is. */
    CompletableFuture<Void> remove(String path);

    /** Sets who may do what with a node: {@code n0}, {@code r5}, ... (owner and default first). */
    CompletableFuture<Void> setPermissions(String path, List<String> permissions);
}
