package io.blocktap.transport.xen.store;

import io.blocktap.transport.TapException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Lists a big directory in parts. Each part tells the node's generation, and the last ends with an empty name; if the generation changes between two parts,
 * the list is begun again ({@code docs/misc/xenstore.txt}, "DIRECTORY_PART").
 */
final class DirectoryList {
    /** A bound, since a guest can make its own directories as large as its quota lets it. */
    static final int MOST_BYTES = 1 << 20;

    private static final int MOST_ATTEMPTS = 16;

    private final XenStoreNodes nodes;
    private final XenStorePath path;
    private final CompletableFuture<List<String>> result = new CompletableFuture<>();
    private final ByteArrayOutputStream names = new ByteArrayOutputStream();
    private String generation = "";
    private int attempts = 1;

    DirectoryList(XenStoreNodes nodes, XenStorePath path) {
        this.nodes = nodes;
        this.path = path;
    }

    CompletableFuture<List<String>> fetch() {
        next();
        return result;
    }

    private void next() {
        nodes.request(XsWire.XS_DIRECTORY_PART, path.toString(), XsRequest.strings(path, names.size()))
                .whenComplete((reply, failure) -> {
                    if (failure != null) {
                        result.completeExceptionally(LoopFuture.unwrap(failure));
                        return;
                    }
                    try {
                        take(reply.payload());
                    } catch (IOException e) {
                        result.completeExceptionally(e);
                    }
                });
    }

    private void take(byte[] part) throws IOException {
        int from = 0;
        while (from < part.length && part[from] != 0) {
            from++;
        }
        String itsGeneration = new String(part, 0, from, StandardCharsets.US_ASCII);
        from++;
        if (names.size() > 0 && !itsGeneration.equals(generation)) {
            beginAgain();
            return;
        }
        generation = itsGeneration;
        boolean last = part.length > from && endsWithEmptyName(part, from);
        int lengthBytes = part.length - from - (last ? 1 : 0);
        if (lengthBytes <= 0 && !last) {
            throw new TapException("xenstore: DIRECTORY_PART " + path + ": a part without a name");
        }
        if (names.size() + lengthBytes > MOST_BYTES) {
            throw new TapException(
                    "xenstore: DIRECTORY_PART " + path + ": more than " + MOST_BYTES + " bytes of names");
        }
        names.write(part, from, lengthBytes);
        if (last) {
            result.complete(XsMessage.strings(names.toByteArray(), 0));
        } else {
            next();
        }
    }

    private static boolean endsWithEmptyName(byte[] part, int from) {
        int end = part.length - 1;
        return part[end] == 0 && (end == from || part[end - 1] == 0);
    }

    private void beginAgain() throws TapException {
        if (attempts == MOST_ATTEMPTS) {
            throw new TapException("xenstore: DIRECTORY_PART " + path + ": it changed each time it was listed, "
                    + attempts + " times");
        }
        attempts++;
        names.reset();
        next();
    }
}
