package io.blocktap.pipeline.config;

/** What kind of value an option takes. */
public enum OptionType {
    /** Any text. */
    TEXT("text"),
    /** A file's path, relative to the current directory. */
    PATH("path"),
    /** A number of bytes, with an optional suffix K, M, G, T or P (powers of 1024). */
    SIZE("size"),
    /** A whole number. */
    NUMBER("number"),
    /** {@code on} or {@code off}; the key alone means on. */
    SWITCH("on|off"),
    /** A time with a unit: ns, us, ms, s, min. */
    DURATION("duration"),
    /** One of a fixed set of words. */
    CHOICE("word"),
    /** {@code host:port}; port 0 asks for a free one; IPv6 addresses stand in brackets. */
    HOST_PORT("host:port");

    private final String shown;

    OptionType(String shown) {
        this.shown = shown;
    }

    /** Returns the word for help texts. */
    public String shown() {
        return shown;
    }
}
