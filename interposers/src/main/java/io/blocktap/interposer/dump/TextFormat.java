package io.blocktap.interposer.dump;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.ControlMessage;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Session;

/**
 * Lines for people and grep, after those of blkdump of 2005: {@code <} is a request on its way in, {@code >} its response on its
 * way out, {@code !} a control message.
 */
final class TextFormat implements LineFormat {
    private final String disk;
    private final Timestamp timestamp = new Timestamp();

    /** Makes the format for one disk. */
    TextFormat(String disk) {
        this.disk = Quoting.plain(disk);
    }

    @Override
    public void append(LineBuffer out, DumpRecord record, long epochMicros) {
        timestamp.append(out, epochMicros);
        out.append(" [").append(disk);
        if (record.kind == DumpRecord.CONTROL) {
            out.append(record.data, record.dataBytes).append('\n');
            return;
        }
        out.append(':').append(record.session);
        if (record.stream != 0) {
            out.append('.').append(record.stream);
        }
        boolean isRequest = record.kind == DumpRecord.REQUEST;
        out.append('#').append(record.number).append(isRequest ? '<' : '>').append(record.op.name());
        out.append("] offset=").append(record.offsetBytes).append(" length=").append(record.lengthBytes);
        if (isRequest) {
            appendFlags(out, record.flags);
            appendSegments(out, record);
        } else {
            out.append(" status=").append(record.status.name()).append(" latency=");
            out.append(record.latencyNanos / 1000).append('.').appendPadded(record.latencyNanos % 1000, 3);
            out.append("us");
        }
        if (record.dataBytes > 0) {
            out.append(" data=").appendHex(record.data, record.dataBytes);
        }
        out.append('\n');
    }

    private static void appendFlags(LineBuffer out, int flags) {
        if ((flags & BlockRequest.FUA) != 0) {
            out.append(" fua");
        }
        if ((flags & BlockRequest.KEEP_ALLOCATED) != 0) {
            out.append(" keep-allocated");
        }
        if ((flags & BlockRequest.FAST_ONLY) != 0) {
            out.append(" fast-only");
        }
    }

    private static void appendSegments(LineBuffer out, DumpRecord record) {
        if (record.segments == 0) {
            return;
        }
        out.append(" segments=").append(record.segments);
        for (int i = 0; i < record.segments; i++) {
            out.append(i == 0 ? " (" : " ").append(record.gref(i));
            out.append(':').append(record.firstSector(i)).append('-').append(record.lastSector(i));
        }
        out.append(')');
    }

    @Override
    public void appendDropped(LineBuffer out, long lines, long epochMicros) {
        timestamp.append(out, epochMicros);
        out.append(" [").append(disk).append("] dropped ").append(lines).append(lines == 1 ? " line" : " lines");
        out.append('\n');
    }

    @Override
    public String control(ControlMessage message) {
        if (message instanceof ControlMessage.Connect connect) {
            return of(connect.session()) + "!connect] tap=" + connect.session().tap() + " peer="
                    + Quoting.quoted(connect.session().peer()) + " " + of(connect.geometry());
        } else if (message instanceof ControlMessage.Disconnect disconnect) {
            return of(disconnect.session()) + "!disconnect]";
        } else if (message instanceof ControlMessage.Resize resize) {
            return "!resize] " + of(resize.to()) + " was=" + resize.from().sizeBytes();
        } else if (message instanceof ControlMessage.Backend backend) {
            return "!backend] " + backend.stage() + " " + backend.state().word()
                    + (backend.reason().isEmpty() ? "" : " reason=" + Quoting.quoted(backend.reason()));
        } else if (message instanceof ControlMessage.Withdrawn withdrawn) {
            return "!withdrawn] " + withdrawn.message().name();
        }
        return "!" + message.name() + "]";
    }

    private static String of(Session session) {
        return ":" + session.number();
    }

    private static String of(Geometry geometry) {
        return "size=" + geometry.sizeBytes() + " block=" + geometry.logicalBlockBytes() + " features="
                + Quoting.features(geometry, "+");
    }
}
