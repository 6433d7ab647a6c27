package io.blocktap.transport.xen.store;

import io.blocktap.transport.Printable;
import org.jspecify.annotations.Nullable;

/**
 * A node's name that xenstored accepts: absolute ({@code /local/domain/0/name}), relative to the caller's own {@code /local/domain/N} ({@code domid}), or one
 * of the special names that can only be watched ({@code @releaseDomain}).
 *
 * <p>Source: {@code docs/misc/xenstore.txt}, "Store paths", and {@code xs_wire.h}: at most 3072 characters absolute and 2048 relative, of {@code
 * A-Za-z0-9-/_@}, no empty component, no slash at the end.
 */
public final class XenStorePath implements Comparable<XenStorePath> {
    /** XENSTORE_ABS_PATH_MAX. */
    public static final int ABSOLUTE_MAX_CHARS = 3072;
    /** XENSTORE_REL_PATH_MAX. */
    public static final int RELATIVE_MAX_CHARS = 2048;
    /** Watched, tells that a domain has come. */
    public static final XenStorePath INTRODUCE_DOMAIN = of("@introduceDomain");
    /** Watched, tells that a domain has gone. */
    public static final XenStorePath RELEASE_DOMAIN = of("@releaseDomain");

    private static final XenStorePath ROOT = new XenStorePath("/");

    private final String text;

    private XenStorePath(String text) {
        this.text = text;
    }

    /**
     * Checks a path.
     *
     * @throws IllegalArgumentException if xenstored would refuse it; the message says why, fit for a log even if a guest wrote the text
     */
    public static XenStorePath of(String text) {
        String wrong = whatIsWrong(text);
        if (wrong != null) {
            throw new IllegalArgumentException("xenstore path '" + Printable.of(text) + "': " + wrong);
        }
        return new XenStorePath(text);
    }

    private static @Nullable String whatIsWrong(String text) {
        if (text.isEmpty()) {
            return "it is empty";
        }
        int most = text.charAt(0) == '/' ? ABSOLUTE_MAX_CHARS : RELATIVE_MAX_CHARS;
        if (text.length() > most) {
            return text.length() + " characters, at most " + most + " are allowed";
        }
        for (int i = 0; i < text.length(); i++) {
            if (!isAllowed(text.charAt(i))) {
                return "only letters, digits and -/_@ are allowed";
            }
        }
        if (text.contains("//")) {
            return "two slashes in a row";
        }
        return text.length() > 1 && text.endsWith("/") ? "a slash at the end" : null;
    }

    private static boolean isAllowed(char c) {
        return c >= 'a' && c <= 'z'
                || c >= 'A' && c <= 'Z'
                || c >= '0' && c <= '9'
                || c == '-'
                || c == '/'
                || c == '_'
                || c == '@';
    }

    /** Returns whether it begins at the root. */
    public boolean isAbsolute() {
        return text.charAt(0) == '/';
    }

    /** Returns whether it is a name such as {@code @releaseDomain}, which can be watched but holds nothing. */
    public boolean isSpecial() {
        return text.charAt(0) == '@';
    }

    /**
     * Returns a path below this one.
     *
     * @param relative one name or several with slashes between
     */
    public XenStorePath child(String relative) {
        if (isSpecial()) {
            throw new IllegalArgumentException(text + " has nothing below it");
        }
        return of(text.equals("/") ? text + relative : text + "/" + relative);
    }

    /** As {@link #child(String)}, for domains, devices and queues, which are named by numbers. */
    public XenStorePath child(int number) {
        return child(Integer.toString(number));
    }

    /**
     * Returns the path without its last name.
     *
     * @throws IllegalStateException for the root and for a single relative name
     */
    public XenStorePath parent() {
        int slash = text.lastIndexOf('/');
        if (text.equals("/") || slash < 0) {
            throw new IllegalStateException("xenstore path '" + text + "' has no parent");
        }
        return slash == 0 ? ROOT : new XenStorePath(text.substring(0, slash));
    }

    /** Returns the last name; of the root, the empty string. */
    public String name() {
        return text.substring(text.lastIndexOf('/') + 1);
    }

    /** Returns whether this is the other path or lies below it. */
    public boolean isAtOrBelow(XenStorePath other) {
        return text.equals(other.text) || text.startsWith(other.text.equals("/") ? "/" : other.text + "/");
    }

    @Override
    public int compareTo(XenStorePath other) {
        return text.compareTo(other.text);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof XenStorePath path && path.text.equals(text);
    }

    @Override
    public int hashCode() {
        return text.hashCode();
    }

    /** Returns the path as it goes over the wire. */
    @Override
    public String toString() {
        return text;
    }
}
