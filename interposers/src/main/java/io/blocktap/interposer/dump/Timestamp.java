package io.blocktap.interposer.dump;

import java.time.Instant;

/** Appends times as {@code 2026-11-23T02:18:18.123456Z}. Formats each second once. The writer's thread only. */
final class Timestamp {
    private long second = Long.MIN_VALUE;
    private String secondText = "";

    void append(LineBuffer out, long epochMicros) {
        long ofLine = Math.floorDiv(epochMicros, 1_000_000L);
        if (ofLine != second) {
            second = ofLine;
            String text = Instant.ofEpochSecond(ofLine).toString();
            secondText = text.substring(0, text.length() - 1);
        }
        out.append(secondText)
                .append('.')
                .appendPadded(Math.floorMod(epochMicros, 1_000_000L), 6)
                .append('Z');
    }
}
