package io.blocktap.pipeline.codec.nbd;

import java.util.Set;

/**
 * One option that a client has sent, decoded.
 *
 * @param number the option's number, to be echoed in its replies
 * @param request what it asks for
 */
public record NbdOption(int number, Request request) {
    /** What an option asks for. */
    public sealed interface Request {}

    /**
     * INFO, GO or EXPORT_NAME.
     *
     * @param exportName the export; empty for the default one
     * @param infoTypes the pieces of information that the client wants, unknown ones included
     */
    public record Export(String exportName, Set<Integer> infoTypes) implements Request {
        /** Copies the set. */
        public Export {
            infoTypes = Set.copyOf(infoTypes);
        }
    }

    /** LIST. */
    public record List() implements Request {}

    /** ABORT. */
    public record Abort() implements Request {}

    /**
     * An option that gets an error, and the haggling goes on.
     *
     * @param replyType {@link Nbd#REP_ERR_UNSUP} and so on
     * @param message for people
     */
    public record Wrong(int replyType, String message) implements Request {}
}
