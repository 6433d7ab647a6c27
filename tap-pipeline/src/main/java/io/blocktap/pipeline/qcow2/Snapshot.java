package io.blocktap.pipeline.qcow2;

import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An internal snapshot of a qcow2 image.
 *
 * @param id unique in the image, as a rule a number
 * @param name as the user gave it
 * @param stateBytes what was kept of the machine's state; unsigned
 * @param dateSeconds when it was taken, since 1970
 * @param dateNanos what is to be added to that
 * @param clockNanos how long the machine had run; unsigned
 * @param icount how many instructions it had run; {@link #NO_ICOUNT} if it is not told
 * @param l1Offset where its L1 table begins
 * @param l1Entries how many entries that has; unsigned
 */
public record Snapshot(
        String id,
        String name,
        long stateBytes,
        long dateSeconds,
        long dateNanos,
        long clockNanos,
        long icount,
        long l1Offset,
        int l1Entries) {
    /** Stands for an unknown count, as in the image. */
    static final long NO_ICOUNT = -1;

    private static final long NANOS = 1_000_000_000;

    /** Returns how many bytes its L1 table has. */
    long l1Bytes() {
        return Integer.toUnsignedLong(l1Entries) * Long.BYTES;
    }

    /** Returns when it was taken. */
    public Instant date() {
        return Instant.ofEpochSecond(dateSeconds);
    }

    /** Returns all of it under the names that {@code qemu-img info --output=json} uses. */
    public Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<>();
        if (icount != NO_ICOUNT) {
            fields.put("icount", icount);
        }
        fields.put("vm-clock-nsec", Long.remainderUnsigned(clockNanos, NANOS));
        fields.put("name", name);
        fields.put("date-sec", dateSeconds);
        fields.put("date-nsec", dateNanos);
        fields.put("vm-clock-sec", Long.divideUnsigned(clockNanos, NANOS));
        fields.put("id", id);
        fields.put("vm-state-size", stateBytes);
        return fields;
    }
}
