package io.blocktap.pipeline;

import java.util.Locale;

/** How what a stage works on stands, if it is something that may come and go: a server elsewhere. */
public enum BackendState {
    /** Requests are answered. */
    CONNECTED,
    /** It is out of reach; requests wait, and it is tried again. */
    RECONNECTING,
    /** It is within reach and refuses to serve, or is not what it was; requests wait, and it is tried again, but somebody should look. */
    FAILED;

    /** Returns the state in lower case, for people and scripts. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
