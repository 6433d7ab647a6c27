package io.blocktap.pipeline.config;

/** Text that a user wrote is wrong. The message is one line: what is wrong, where, and what would be right. */
public final class ConfigException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Describes the mistake in one line. */
    public ConfigException(String message) {
        super(message);
    }
}
