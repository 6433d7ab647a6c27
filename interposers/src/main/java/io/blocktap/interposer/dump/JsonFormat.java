package io.blocktap.interposer.dump;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.ControlMessage;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Session;

/** One JSON object a line (RFC 8259), for programs. The keys are stable; new ones may come. */
final class JsonFormat implements LineFormat {
    private final String disk;
    private final Timestamp timestamp = new Timestamp();

    /** Makes the format for one disk. */
    JsonFormat(String disk) {
        this.disk = Quoting.quoted(disk);
    }

    private void begin(LineBuffer out, long epochMicros, String event) {
        out.append("{\"time\":\"");
        timestamp.append(out, epochMicros);
        out.append("\",\"event\":\"").append(event).append("\",\"disk\":").append(disk);
    }

    @Override
    public void append(LineBuffer out, DumpRecord record, long epochMicros) {
        if (record.kind == DumpRecord.CONTROL) {
            begin(out, epochMicros, "control");
            out.append(record.data, record.dataBytes).append("}\n");
            return;
        }
        boolean isRequest = record.kind == DumpRecord.REQUEST;
        begin(out, epochMicros, isRequest ? "request" : "response");
        out.append(",\"session\":")
                .append(record.session)
                .append(",\"stream\":")
                .append(record.stream);
        out.append(",\"number\":").append(record.number);
        out.append(",\"op\":\"").append(record.op.name()).append('"');
        out.append(",\"offset\":")
                .append(record.offsetBytes)
                .append(",\"length\":")
                .append(record.lengthBytes);
        if (isRequest) {
            appendFlags(out, record.flags);
            appendSegments(out, record);
        } else {
            out.append(",\"status\":\"").append(record.status.name());
            out.append("\",\"latency_ns\":").append(record.latencyNanos);
        }
        if (record.dataBytes > 0) {
            out.append(",\"data\":\"").appendHex(record.data, record.dataBytes).append('"');
        }
        out.append("}\n");
    }

    private static void appendFlags(LineBuffer out, int flags) {
        out.append(",\"fua\":").append((flags & BlockRequest.FUA) != 0 ? "true" : "false");
        if ((flags & BlockRequest.KEEP_ALLOCATED) != 0) {
            out.append(",\"keep_allocated\":true");
        }
        if ((flags & BlockRequest.FAST_ONLY) != 0) {
            out.append(",\"fast_only\":true");
        }
    }

    private static void appendSegments(LineBuffer out, DumpRecord record) {
        if (record.segments == 0) {
            return;
        }
        out.append(",\"segments\":[");
        for (int i = 0; i < record.segments; i++) {
            out.append(i == 0 ? "{\"gref\":" : ",{\"gref\":").append(record.gref(i));
            out.append(",\"first\":").append(record.firstSector(i));
            out.append(",\"last\":").append(record.lastSector(i)).append('}');
        }
        out.append(']');
    }

    @Override
    public void appendDropped(LineBuffer out, long lines, long epochMicros) {
        begin(out, epochMicros, "dropped");
        out.append(",\"lines\":").append(lines).append("}\n");
    }

    @Override
    public String control(ControlMessage message) {
        String name = ",\"name\":\"" + message.name() + "\"";
        if (message instanceof ControlMessage.Connect connect) {
            Session session = connect.session();
            return of(session) + name + ",\"tap\":" + Quoting.quoted(session.tap()) + ",\"peer\":"
                    + Quoting.quoted(session.peer()) + of(connect.geometry());
        } else if (message instanceof ControlMessage.Disconnect disconnect) {
            return of(disconnect.session()) + name;
        } else if (message instanceof ControlMessage.Resize resize) {
            return name + of(resize.to()) + ",\"was\":" + resize.from().sizeBytes();
        } else if (message instanceof ControlMessage.Backend backend) {
            return name + ",\"backend\":" + Quoting.quoted(backend.stage()) + ",\"state\":\""
                    + backend.state().word() + "\",\"reason\":" + Quoting.quoted(backend.reason());
        } else if (message instanceof ControlMessage.Withdrawn withdrawn) {
            return name + ",\"message\":\"" + withdrawn.message().name() + "\"";
        }
        return name;
    }

    private static String of(Session session) {
        return ",\"session\":" + session.number();
    }

    private static String of(Geometry geometry) {
        return ",\"size\":" + geometry.sizeBytes() + ",\"block\":" + geometry.logicalBlockBytes() + ",\"features\":["
                + Quoting.features(geometry, ",") + "]";
    }
}
