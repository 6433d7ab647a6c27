package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.ControlMessage;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.RequestStream;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a server knows of a device that is not in xenstore, for its status file.
 *
 * @param domid the guest
 * @param device the device's number
 * @param disk what it is connected to
 * @param streams its rings' streams
 * @param inFlight requests on their way, negative if a loop does not say
 */
record DeviceStatus(int domid, int device, Disk disk, List<RequestStream> streams, int inFlight) {

    /** Returns it as JSON's objects are written. Numbers are since the rings were connected. Any thread. */
    Map<String, Object> toMap() {
        Map<String, Object> counters = new LinkedHashMap<>();
        counters.put("reads", requests(BlockOp.READ));
        counters.put("readBytes", bytes(BlockOp.READ));
        counters.put("writes", requests(BlockOp.WRITE));
        counters.put("writtenBytes", bytes(BlockOp.WRITE));
        counters.put("flushes", requests(BlockOp.FLUSH));
        counters.put("discards", requests(BlockOp.DISCARD));
        counters.put("errors", errors());
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("domid", domid);
        map.put("device", device);
        map.put("disk", disk.name());
        map.put("chain", disk.description());
        map.put("sizeBytes", disk.geometry().sizeBytes());
        map.put("readOnly", disk.geometry().has(Feature.READ_ONLY));
        if (inFlight >= 0) {
            map.put("inFlight", inFlight);
        }
        map.put("storage", storage());
        map.put("counters", counters);
        return map;
    }

    /** How the stages whose storage may come and go stand. */
    private List<Map<String, Object>> storage() {
        List<Map<String, Object>> list = new ArrayList<>();
        disk.backends().values().stream()
                .sorted(Comparator.comparing(ControlMessage.Backend::stage))
                .forEach(backend -> {
                    Map<String, Object> one = new LinkedHashMap<>();
                    one.put("stage", backend.stage());
                    one.put("state", backend.state().word());
                    one.put("reason", backend.reason());
                    list.add(one);
                });
        return list;
    }

    /** Returns how many requests of a kind were answered. Any thread. */
    long requests(BlockOp op) {
        return streams.stream().mapToLong(each -> each.counters().requests(op)).sum();
    }

    /** Returns the bytes of successful requests of a kind. Any thread. */
    long bytes(BlockOp op) {
        return streams.stream().mapToLong(each -> each.counters().bytes(op)).sum();
    }

    /** Returns how many requests failed. Any thread. */
    long errors() {
        long sum = 0;
        for (RequestStream each : streams) {
            for (BlockOp op : BlockOp.values()) {
                sum += each.counters().errors(op);
            }
        }
        return sum;
    }
}
