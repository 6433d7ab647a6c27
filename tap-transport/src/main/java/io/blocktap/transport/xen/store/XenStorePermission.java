package io.blocktap.transport.xen.store;

/**
 * What one domain may do with a node. Of a node's list the first entry names the owner, who may do everything, and tells what every domain may do that is not
 * in the list; the others each name one domain.
 *
 * <p>Source: {@code docs/misc/xenstore.txt}, "Permissions": a letter and a domain id, such as {@code n0} or {@code r7}.
 *
 * @param access what may be done
 * @param domid the domain
 */
public record XenStorePermission(Access access, int domid) {
    /** {@code DOMID_MASK} of {@code xen.h}; also what is reserved, since xenstored may tell of a domain that is gone. */
    private static final int DOMID_MASK = 0x7fff;

    /** What may be done with a node. */
    public enum Access {
        /** Nothing. */
        NONE('n'),
        /** Reading. */
        READ('r'),
        /** Writing. */
        WRITE('w'),
        /** Reading and writing. */
        BOTH('b');

        private final char letter;

        Access(char letter) {
            this.letter = letter;
        }
    }

    /** Checks the domain's id. */
    public XenStorePermission {
        if (domid < 0 || domid > DOMID_MASK) {
            throw new IllegalArgumentException("domain id " + domid + ": 0 to " + DOMID_MASK);
        }
    }

    /**
     * Reads the wire's form.
     *
     * @throws IllegalArgumentException if it is none
     */
    public static XenStorePermission parse(String text) {
        for (Access access : Access.values()) {
            if (text.length() > 1 && text.charAt(0) == access.letter) {
                return new XenStorePermission(access, Integer.parseInt(text.substring(1)));
            }
        }
        throw new IllegalArgumentException("no xenstore permission: '" + text + "'");
    }

    /** Returns the wire's form, for example {@code r7}. */
    @Override
    public String toString() {
        return access.letter + Integer.toString(domid);
    }
}
