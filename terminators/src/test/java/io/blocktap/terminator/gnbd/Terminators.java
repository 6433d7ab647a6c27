package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;

/** Makes terminators as a chain does, from words. */
final class Terminators {
    private Terminators() {}

    /**
     * Makes one, not opened, for the export {@code disk} of a server on loopback.
     *
     * @param options each with a comma before it
     */
    static Stage make(int port, String options) throws Exception {
        return make("127.0.0.1", port, options);
    }

    static Stage make(String host, int port, String options) throws Exception {
        String words = "gnbd:host=" + host + ",export=disk,port=" + port + options;
        return new GnbdFactory().create(OptionValues.parse(StageText.parse(words), GnbdConfig.OPTIONS));
    }
}
