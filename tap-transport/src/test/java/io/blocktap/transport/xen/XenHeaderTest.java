package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The layouts against Linux' headers themselves, by a C program that prints {@code offsetof}. Needs gcc and linux-libc-dev. */
class XenHeaderTest {
    private static final Path HEADER = Path.of("/usr/include/xen/gntdev.h");

    private static final String PROGRAM = """
            #include <stddef.h>
            #include <stdint.h>
            #include <stdio.h>
            #include <linux/ioctl.h>
            typedef uint16_t domid_t;
            typedef uint32_t grant_ref_t;
            #include <xen/evtchn.h>
            #include <xen/gntalloc.h>
            #undef UNMAP_NOTIFY_CLEAR_BYTE
            #undef UNMAP_NOTIFY_SEND_EVENT
            #include <xen/gntdev.h>
            #define FIELD(type, field) printf("%s.%s=%zu\\n", #type, #field, offsetof(struct type, field))
            #define VALUE(name) printf("%s=%ld\\n", #name, (long) (name))
            #define SIZE(type) printf("%s=%zu\\n", #type, sizeof(struct type))
            int main(void)
            {
                VALUE(IOCTL_EVTCHN_BIND_INTERDOMAIN);
                VALUE(IOCTL_EVTCHN_BIND_UNBOUND_PORT);
                VALUE(IOCTL_EVTCHN_UNBIND);
                VALUE(IOCTL_EVTCHN_NOTIFY);
                VALUE(IOCTL_EVTCHN_RESET);
                FIELD(ioctl_evtchn_bind_interdomain, remote_domain);
                FIELD(ioctl_evtchn_bind_interdomain, remote_port);
                SIZE(ioctl_evtchn_bind_interdomain);
                FIELD(ioctl_evtchn_bind_unbound_port, remote_domain);
                FIELD(ioctl_evtchn_unbind, port);
                FIELD(ioctl_evtchn_notify, port);
                VALUE(IOCTL_GNTDEV_MAP_GRANT_REF);
                VALUE(IOCTL_GNTDEV_UNMAP_GRANT_REF);
                VALUE(IOCTL_GNTDEV_SET_UNMAP_NOTIFY);
                VALUE(IOCTL_GNTDEV_GRANT_COPY);
                FIELD(ioctl_gntdev_map_grant_ref, count);
                FIELD(ioctl_gntdev_map_grant_ref, index);
                FIELD(ioctl_gntdev_map_grant_ref, refs);
                FIELD(ioctl_gntdev_grant_ref, domid);
                FIELD(ioctl_gntdev_grant_ref, ref);
                SIZE(ioctl_gntdev_grant_ref);
                FIELD(ioctl_gntdev_unmap_grant_ref, index);
                FIELD(ioctl_gntdev_unmap_grant_ref, count);
                SIZE(ioctl_gntdev_unmap_grant_ref);
                FIELD(ioctl_gntdev_unmap_notify, index);
                FIELD(ioctl_gntdev_unmap_notify, action);
                FIELD(ioctl_gntdev_unmap_notify, event_channel_port);
                SIZE(ioctl_gntdev_unmap_notify);
                VALUE(UNMAP_NOTIFY_CLEAR_BYTE);
                VALUE(UNMAP_NOTIFY_SEND_EVENT);
                FIELD(ioctl_gntdev_grant_copy, count);
                FIELD(ioctl_gntdev_grant_copy, segments);
                SIZE(ioctl_gntdev_grant_copy);
                FIELD(gntdev_grant_copy_segment, source);
                FIELD(gntdev_grant_copy_segment, dest);
                FIELD(gntdev_grant_copy_segment, len);
                FIELD(gntdev_grant_copy_segment, flags);
                FIELD(gntdev_grant_copy_segment, status);
                SIZE(gntdev_grant_copy_segment);
                FIELD(gntdev_grant_copy_segment, source.virt);
                FIELD(gntdev_grant_copy_segment, source.foreign.ref);
                FIELD(gntdev_grant_copy_segment, source.foreign.offset);
                FIELD(gntdev_grant_copy_segment, source.foreign.domid);
                VALUE(IOCTL_GNTALLOC_ALLOC_GREF);
                VALUE(IOCTL_GNTALLOC_DEALLOC_GREF);
                VALUE(IOCTL_GNTALLOC_SET_UNMAP_NOTIFY);
                FIELD(ioctl_gntalloc_alloc_gref, domid);
                FIELD(ioctl_gntalloc_alloc_gref, flags);
                FIELD(ioctl_gntalloc_alloc_gref, count);
                FIELD(ioctl_gntalloc_alloc_gref, index);
                FIELD(ioctl_gntalloc_alloc_gref, gref_ids);
                VALUE(GNTALLOC_FLAG_WRITABLE);
                FIELD(ioctl_gntalloc_dealloc_gref, index);
                FIELD(ioctl_gntalloc_dealloc_gref, count);
                SIZE(ioctl_gntalloc_dealloc_gref);
                return 0;
            }
            """;

    @TempDir
    private Path folder;

    @Test
    void layoutsAreThoseOfTheHeaders() throws Exception {
        assumeTrue(Files.exists(HEADER), "no " + HEADER + "; package linux-libc-dev has it");
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/gcc")), "no gcc");
        Files.writeString(folder.resolve("layout.c"), PROGRAM);

        output("/usr/bin/gcc", "-w", "-o", "layout", "layout.c");
        Map<String, Long> values = new LinkedHashMap<>();
        output(folder.resolve("layout").toString()).lines().forEach(line -> {
            String[] pair = line.split("=");
            values.put(pair[0], Long.valueOf(pair[1]));
        });

        assertThat(values).isEqualTo(expected());
    }

    private String output(String... command) throws IOException, InterruptedException {
        Path output = folder.resolve("output");
        Process process = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        String text = Files.readString(output, StandardCharsets.UTF_8);
        assertThat(process.exitValue()).as(text).isZero();
        return text;
    }

    private static Map<String, Long> expected() {
        Map<String, Long> values = new LinkedHashMap<>();
        values.put("IOCTL_EVTCHN_BIND_INTERDOMAIN", EvtchnLayout.IOCTL_EVTCHN_BIND_INTERDOMAIN);
        values.put("IOCTL_EVTCHN_BIND_UNBOUND_PORT", EvtchnLayout.IOCTL_EVTCHN_BIND_UNBOUND_PORT);
        values.put("IOCTL_EVTCHN_UNBIND", EvtchnLayout.IOCTL_EVTCHN_UNBIND);
        values.put("IOCTL_EVTCHN_NOTIFY", EvtchnLayout.IOCTL_EVTCHN_NOTIFY);
        values.put("IOCTL_EVTCHN_RESET", EvtchnLayout.IOCTL_EVTCHN_RESET);
        values.put("ioctl_evtchn_bind_interdomain.remote_domain", (long) EvtchnLayout.INTERDOMAIN_REMOTE_DOMAIN);
        values.put("ioctl_evtchn_bind_interdomain.remote_port", (long) EvtchnLayout.INTERDOMAIN_REMOTE_PORT);
        values.put("ioctl_evtchn_bind_interdomain", (long) EvtchnLayout.ARGUMENT_BYTES);
        values.put("ioctl_evtchn_bind_unbound_port.remote_domain", (long) EvtchnLayout.UNBOUND_REMOTE_DOMAIN);
        values.put("ioctl_evtchn_unbind.port", (long) EvtchnLayout.PORT);
        values.put("ioctl_evtchn_notify.port", (long) EvtchnLayout.PORT);
        values.put("IOCTL_GNTDEV_MAP_GRANT_REF", GntdevLayout.IOCTL_GNTDEV_MAP_GRANT_REF);
        values.put("IOCTL_GNTDEV_UNMAP_GRANT_REF", GntdevLayout.IOCTL_GNTDEV_UNMAP_GRANT_REF);
        values.put("IOCTL_GNTDEV_SET_UNMAP_NOTIFY", GntdevLayout.IOCTL_GNTDEV_SET_UNMAP_NOTIFY);
        values.put("IOCTL_GNTDEV_GRANT_COPY", GntdevLayout.IOCTL_GNTDEV_GRANT_COPY);
        values.put("ioctl_gntdev_map_grant_ref.count", (long) GntdevLayout.MAP_COUNT);
        values.put("ioctl_gntdev_map_grant_ref.index", (long) GntdevLayout.MAP_INDEX);
        values.put("ioctl_gntdev_map_grant_ref.refs", (long) GntdevLayout.MAP_REFS);
        values.put("ioctl_gntdev_grant_ref.domid", (long) GntdevLayout.REF_DOMID);
        values.put("ioctl_gntdev_grant_ref.ref", (long) GntdevLayout.REF_REF);
        values.put("ioctl_gntdev_grant_ref", (long) GntdevLayout.REF_BYTES);
        values.put("ioctl_gntdev_unmap_grant_ref.index", (long) GntdevLayout.UNMAP_INDEX);
        values.put("ioctl_gntdev_unmap_grant_ref.count", (long) GntdevLayout.UNMAP_COUNT);
        values.put("ioctl_gntdev_unmap_grant_ref", (long) GntdevLayout.UNMAP_BYTES);
        values.put("ioctl_gntdev_unmap_notify.index", (long) GntdevLayout.NOTIFY_INDEX);
        values.put("ioctl_gntdev_unmap_notify.action", (long) GntdevLayout.NOTIFY_ACTION);
        values.put("ioctl_gntdev_unmap_notify.event_channel_port", (long) GntdevLayout.NOTIFY_EVENT_CHANNEL_PORT);
        values.put("ioctl_gntdev_unmap_notify", (long) GntdevLayout.NOTIFY_BYTES);
        values.put("UNMAP_NOTIFY_CLEAR_BYTE", (long) GntdevLayout.UNMAP_NOTIFY_CLEAR_BYTE);
        values.put("UNMAP_NOTIFY_SEND_EVENT", (long) GntdevLayout.UNMAP_NOTIFY_SEND_EVENT);
        values.put("ioctl_gntdev_grant_copy.count", (long) GntdevLayout.COPY_COUNT);
        values.put("ioctl_gntdev_grant_copy.segments", (long) GntdevLayout.COPY_SEGMENTS);
        values.put("ioctl_gntdev_grant_copy", (long) GntdevLayout.COPY_BYTES);
        values.put("gntdev_grant_copy_segment.source", (long) GntdevLayout.SEGMENT_SOURCE);
        values.put("gntdev_grant_copy_segment.dest", (long) GntdevLayout.SEGMENT_DEST);
        values.put("gntdev_grant_copy_segment.len", (long) GntdevLayout.SEGMENT_LEN);
        values.put("gntdev_grant_copy_segment.flags", (long) GntdevLayout.SEGMENT_FLAGS);
        values.put("gntdev_grant_copy_segment.status", (long) GntdevLayout.SEGMENT_STATUS);
        values.put("gntdev_grant_copy_segment", (long) GntdevLayout.SEGMENT_BYTES);
        values.put("gntdev_grant_copy_segment.source.virt", (long) GntdevLayout.SIDE_VIRT);
        values.put("gntdev_grant_copy_segment.source.foreign.ref", (long) GntdevLayout.SIDE_REF);
        values.put("gntdev_grant_copy_segment.source.foreign.offset", (long) GntdevLayout.SIDE_OFFSET);
        values.put("gntdev_grant_copy_segment.source.foreign.domid", (long) GntdevLayout.SIDE_DOMID);
        values.put("IOCTL_GNTALLOC_ALLOC_GREF", GntallocLayout.IOCTL_GNTALLOC_ALLOC_GREF);
        values.put("IOCTL_GNTALLOC_DEALLOC_GREF", GntallocLayout.IOCTL_GNTALLOC_DEALLOC_GREF);
        values.put("IOCTL_GNTALLOC_SET_UNMAP_NOTIFY", GntdevLayout.IOCTL_GNTDEV_SET_UNMAP_NOTIFY);
        values.put("ioctl_gntalloc_alloc_gref.domid", (long) GntallocLayout.ALLOC_DOMID);
        values.put("ioctl_gntalloc_alloc_gref.flags", (long) GntallocLayout.ALLOC_FLAGS);
        values.put("ioctl_gntalloc_alloc_gref.count", (long) GntallocLayout.ALLOC_COUNT);
        values.put("ioctl_gntalloc_alloc_gref.index", (long) GntallocLayout.ALLOC_INDEX);
        values.put("ioctl_gntalloc_alloc_gref.gref_ids", (long) GntallocLayout.ALLOC_GREF_IDS);
        values.put("GNTALLOC_FLAG_WRITABLE", (long) GntallocLayout.GNTALLOC_FLAG_WRITABLE);
        values.put("ioctl_gntalloc_dealloc_gref.index", (long) GntallocLayout.DEALLOC_INDEX);
        values.put("ioctl_gntalloc_dealloc_gref.count", (long) GntallocLayout.DEALLOC_COUNT);
        values.put("ioctl_gntalloc_dealloc_gref", (long) GntdevLayout.UNMAP_BYTES);
        return values;
    }
}
