package io.blocktap.transport.xen.store;

/**
 * Limits of a xenstore client.
 *
 * @param maxOutstanding requests that are sent and not answered; the others wait. xenstored stops listening to an unprivileged domain beyond 20 (XSA-326).
 *     Over the device it is always 1
 * @param maxQueued requests that wait to be sent; one more fails at once
 * @param maxTransactionAttempts how often a transaction is tried before its EAGAIN is told
 * @param reconnectMinMillis pause before the first attempt to connect again; doubled with each
 * @param reconnectMaxMillis longest pause
 */
public record XenStoreConfig(
        int maxOutstanding, int maxQueued, int maxTransactionAttempts, int reconnectMinMillis, int reconnectMaxMillis) {
    /** What fits a server with hundreds of disks. */
    public static final XenStoreConfig DEFAULT = new XenStoreConfig(16, 16_384, 32, 100, 10_000);

    /** Checks the limits. */
    public XenStoreConfig {
        atLeastOne(maxOutstanding, "maxOutstanding");
        atLeastOne(maxQueued, "maxQueued");
        atLeastOne(maxTransactionAttempts, "maxTransactionAttempts");
        atLeastOne(reconnectMinMillis, "reconnectMinMillis");
        if (reconnectMaxMillis < reconnectMinMillis) {
            throw new IllegalArgumentException("reconnectMaxMillis " + reconnectMaxMillis
                    + " is less than reconnectMinMillis " + reconnectMinMillis);
        }
    }

    private static void atLeastOne(int value, String name) {
        if (value < 1) {
            throw new IllegalArgumentException(name + " " + value + ": at least 1");
        }
    }
}
