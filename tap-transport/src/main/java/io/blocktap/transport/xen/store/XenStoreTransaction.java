package io.blocktap.transport.xen.store;

import io.blocktap.transport.TapException;
import java.util.concurrent.CompletableFuture;

/**
 * Nodes as one transaction sees them: as they were when it began, with its own changes, which others see all at once when it has ended well.
 *
 * <p>Given to the body of {@link XenStore#transaction}; of no use after the future that the body returned is complete.
 */
public final class XenStoreTransaction extends XenStoreNodes {
    private final XenStore store;
    private final XsConnection connection;
    private final int txId;
    private volatile boolean ended;

    /**
     * Makes one that has begun.
     *
     * @param connection where it has begun: on another one its number means nothing
     * @param txId not 0
     */
    XenStoreTransaction(XenStore store, XsConnection connection, int txId) {
        this.store = store;
        this.connection = connection;
        this.txId = txId;
    }

    @Override
    CompletableFuture<XsMessage> request(int type, String path, byte[] payload) {
        XsRequest request = new XsRequest(store.loop(), type, txId, path, payload);
        if (!store.isTooBig(request)) {
            store.onLoop(request, () -> submit(request));
        }
        return request.reply;
    }

    private void submit(XsRequest request) {
        if (ended) {
            request.reply.completeExceptionally(
                    new TapException("xenstore: " + request + ": its transaction has ended already"));
        } else {
            connection.submit(request);
        }
    }

    /** Ends it, on the loop. Never without a number: Linux gives no answer at all to that. */
    CompletableFuture<XsMessage> end(String how) {
        ended = true;
        XsRequest request = new XsRequest(store.loop(), XsWire.XS_TRANSACTION_END, txId, "", XsRequest.strings(how));
        connection.submitAlways(request);
        return request.reply;
    }
}
