package io.blocktap.transport.xen.store;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * What can be done with nodes, in a transaction or outside.
 *
 * <p>Every method may be called from any thread and returns at once. Its future fails with a {@link XenStoreException} if the xenstore refuses, and with a {@link
 * io.blocktap.transport.TapException} if there is no connection or it ends (then nobody knows whether a change was made).
 *
 * <p>Values are text in UTF-8, or bytes. A path and a value together have at most 4095 bytes, 4079 over the device; more is refused with E2BIG before it is sent,
 * since xenstored would end the connection.
 */
public abstract sealed class XenStoreNodes permits XenStore, XenStoreTransaction {
    XenStoreNodes() {}

    /** Sends a request and gives the reply; a reply of type XS_ERROR comes as a failure. */
    abstract CompletableFuture<XsMessage> request(int type, String path, byte[] payload);

    private CompletableFuture<XsMessage> request(int type, XenStorePath path) {
        return request(type, path.toString(), XsRequest.strings(path));
    }

    /** Reads a value. */
    public CompletableFuture<String> read(XenStorePath path) {
        return readBytes(path).thenApply(bytes -> new String(bytes, StandardCharsets.UTF_8));
    }

    /** Reads a value that is no text. */
    public CompletableFuture<byte[]> readBytes(XenStorePath path) {
        return request(XsWire.XS_READ, path).thenApply(XsMessage::payload);
    }

    /** Reads a value; empty if the node does not exist (ENOENT). */
    public CompletableFuture<Optional<String>> readIfPresent(XenStorePath path) {
        return read(path).thenApply(Optional::of).exceptionallyCompose(failure -> {
            CompletableFuture<Optional<String>> result = new CompletableFuture<>();
            if (XenStoreException.is(failure, XenStoreException.ENOENT)) {
                result.complete(Optional.empty());
            } else {
                result.completeExceptionally(LoopFuture.unwrap(failure));
            }
            return result;
        });
    }

    /**
     * Lists the names of a node's children, in no order. A list that does not fit into a message is fetched in parts (DIRECTORY_PART), and begun again if the
     * node changes meanwhile. Bounded at {@value DirectoryList#MOST_BYTES} bytes of names: a guest decides how many there are.
     */
    public CompletableFuture<List<String>> list(XenStorePath path) {
        return request(XsWire.XS_DIRECTORY, path)
                .thenApply(XsMessage::strings)
                .exceptionallyCompose(failure -> XenStoreException.is(failure, XenStoreException.E2BIG)
                        ? new DirectoryList(this, path).fetch()
                        : CompletableFuture.failedFuture(LoopFuture.unwrap(failure)));
    }

    /** Writes a value; makes the node, and those above it, if they do not exist. */
    public CompletableFuture<Void> write(XenStorePath path, String value) {
        return write(path, value.getBytes(StandardCharsets.UTF_8));
    }

    /** Writes a value that is no text. */
    public CompletableFuture<Void> write(XenStorePath path, byte[] value) {
        return done(request(XsWire.XS_WRITE, path.toString(), XsRequest.pathAndValue(path, value)));
    }

    /** Makes a node, and those above it; no error if it exists. */
    public CompletableFuture<Void> mkdir(XenStorePath path) {
        return done(request(XsWire.XS_MKDIR, path));
    }

    /** Removes a node and all below it; no error if it does not exist but its parent does. */
    public CompletableFuture<Void> remove(XenStorePath path) {
        return done(request(XsWire.XS_RM, path));
    }

    /** Reads who may do what; the first entry tells the owner and what others may. */
    public CompletableFuture<List<XenStorePermission>> getPermissions(XenStorePath path) {
        return request(XsWire.XS_GET_PERMS, path)
                .thenApply(reply ->
                        reply.strings().stream().map(XenStorePermission::parse).toList());
    }

    /**
     * Sets who may do what.
     *
     * @param permissions the owner's entry first; at least one
     */
    public CompletableFuture<Void> setPermissions(XenStorePath path, List<XenStorePermission> permissions) {
        if (permissions.isEmpty()) {
            throw new IllegalArgumentException("permissions of " + path + ": none; the first names the owner");
        }
        Object[] strings = new Object[1 + permissions.size()];
        strings[0] = path;
        for (int i = 0; i < permissions.size(); i++) {
            strings[1 + i] = permissions.get(i);
        }
        return done(request(XsWire.XS_SET_PERMS, path.toString(), XsRequest.strings(strings)));
    }

    /** As {@link #setPermissions(XenStorePath, List)}. */
    public CompletableFuture<Void> setPermissions(XenStorePath path, XenStorePermission... permissions) {
        return setPermissions(path, Arrays.asList(permissions));
    }

    private static CompletableFuture<Void> done(CompletableFuture<XsMessage> reply) {
        return reply.thenAccept(ok -> {});
    }
}
