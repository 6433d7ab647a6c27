package io.blocktap.interposer.dump;

import io.blocktap.pipeline.ControlMessage;

/** How records look in the output. Each line ends in a newline. */
interface LineFormat {
    /** Writes out a control message but for its time. Any thread. */
    String control(ControlMessage message);

    /**
     * Appends the line of a record.
     *
     * @param epochMicros its time
     */
    void append(LineBuffer out, DumpRecord record, long epochMicros);

    /** Appends the line that says that lines are missing here. */
    void appendDropped(LineBuffer out, long lines, long epochMicros);
}
