package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.RequestStream;
import java.util.List;

/**
 * What a server knows of a device that is not in xenstore, as a JSON object.
 *
 * @param domid the guest
 * @param device the device's number
 * @param disk what it is connected to
 * @param streams its rings' streams
 * @param inFlight requests on their way, negative if a loop does not say
 */
record DeviceStatus(int domid, int device, Disk disk, List<RequestStream> streams, int inFlight) {

    /** Appends it. Numbers are since the rings were connected. Any thread. */
    void appendTo(StringBuilder out) {
        out.append("{\"domid\": ").append(domid).append(", \"device\": ").append(device);
        out.append(", \"disk\": ");
        quote(out, disk.name());
        out.append(", \"chain\": ");
        quote(out, disk.description());
        out.append(", \"sizeBytes\": ").append(disk.geometry().sizeBytes());
        out.append(", \"readOnly\": ").append(disk.geometry().has(Feature.READ_ONLY));
        out.append(", \"inFlight\": ").append(inFlight < 0 ? "null" : Integer.toString(inFlight));
        out.append(", \"counters\": {\"reads\": ").append(requests(BlockOp.READ));
        out.append(", \"readBytes\": ").append(bytes(BlockOp.READ));
        out.append(", \"writes\": ").append(requests(BlockOp.WRITE));
        out.append(", \"writtenBytes\": ").append(bytes(BlockOp.WRITE));
        out.append(", \"flushes\": ").append(requests(BlockOp.FLUSH));
        out.append(", \"discards\": ").append(requests(BlockOp.DISCARD));
        out.append(", \"errors\": ").append(errors()).append("}}");
    }

    private long requests(BlockOp op) {
        return streams.stream().mapToLong(each -> each.counters().requests(op)).sum();
    }

    private long bytes(BlockOp op) {
        return streams.stream().mapToLong(each -> each.counters().bytes(op)).sum();
    }

    private long errors() {
        long sum = 0;
        for (RequestStream each : streams) {
            for (BlockOp op : BlockOp.values()) {
                sum += each.counters().errors(op);
            }
        }
        return sum;
    }

    static void quote(StringBuilder out, String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 0x20 || c == 0x7f) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }
}
