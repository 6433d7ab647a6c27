package io.blocktap.transport.ring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The layouts against the Xen headers themselves, by a C program that prints {@code offsetof}. Needs gcc and the package
 * libxen-dev. The 32-bit ABI is compiled with 4-byte packing, which needs no 32-bit compiler and is what Linux' backend does.
 */
class BlkifHeaderTest {
    private static final Path HEADER = Path.of("/usr/include/xen/io/blkif.h");

    private static final String PROGRAM = """
            #include <stddef.h>
            #include <stdint.h>
            #include <stdio.h>
            #ifdef ABI_32
            #pragma pack(4)
            #endif
            #include <xen/xen.h>
            #include <xen/io/blkif.h>
            #define FIELD(type, field) printf("%s.%s=%zu\\n", #type, #field, offsetof(struct type, field))
            #define VALUE(name, value) printf("%s=%d\\n", name, (int) (value))
            int main(void)
            {
                FIELD(blkif_sring, req_prod);
                FIELD(blkif_sring, req_event);
                FIELD(blkif_sring, rsp_prod);
                FIELD(blkif_sring, rsp_event);
                FIELD(blkif_sring, ring);
                VALUE("slot", sizeof(union blkif_sring_entry));
                FIELD(blkif_request, operation);
                FIELD(blkif_request, nr_segments);
                FIELD(blkif_request, handle);
                FIELD(blkif_request, id);
                FIELD(blkif_request, sector_number);
                FIELD(blkif_request, seg);
                FIELD(blkif_request_segment, gref);
                FIELD(blkif_request_segment, first_sect);
                FIELD(blkif_request_segment, last_sect);
                VALUE("segment", sizeof(struct blkif_request_segment));
                FIELD(blkif_request_discard, flag);
                FIELD(blkif_request_discard, id);
                FIELD(blkif_request_discard, sector_number);
                FIELD(blkif_request_discard, nr_sectors);
                FIELD(blkif_request_indirect, indirect_op);
                FIELD(blkif_request_indirect, nr_segments);
                FIELD(blkif_request_indirect, id);
                FIELD(blkif_request_indirect, sector_number);
                FIELD(blkif_request_indirect, handle);
                FIELD(blkif_request_indirect, indirect_grefs);
                FIELD(blkif_response, id);
                FIELD(blkif_response, operation);
                FIELD(blkif_response, status);
                VALUE("response", sizeof(struct blkif_response));
                for (int pages = 1; pages <= 16; pages *= 2) {
                    printf("slots%d=%d\\n", pages, (int) __CONST_RING_SIZE(blkif, pages * 4096));
                }
                VALUE("READ", BLKIF_OP_READ);
                VALUE("WRITE", BLKIF_OP_WRITE);
                VALUE("BARRIER", BLKIF_OP_WRITE_BARRIER);
                VALUE("FLUSH", BLKIF_OP_FLUSH_DISKCACHE);
                VALUE("DISCARD", BLKIF_OP_DISCARD);
                VALUE("INDIRECT", BLKIF_OP_INDIRECT);
                VALUE("OKAY", BLKIF_RSP_OKAY);
                VALUE("ERROR", BLKIF_RSP_ERROR);
                VALUE("EOPNOTSUPP", BLKIF_RSP_EOPNOTSUPP);
                VALUE("max segments", BLKIF_MAX_SEGMENTS_PER_REQUEST);
                VALUE("max indirect pages", BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST);
                VALUE("secure", BLKIF_DISCARD_SECURE);
                return 0;
            }
            """;

    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource
    void layoutIsThatOfTheHeaders(BlkifLayout layout) throws Exception {
        assumeTrue(Files.exists(HEADER), "no " + HEADER + "; package libxen-dev has it");
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/gcc")), "no gcc");

        assertThat(run(layout)).isEqualTo(expected(layout));
    }

    private Map<String, Integer> run(BlkifLayout layout) throws IOException, InterruptedException {
        Files.writeString(folder.resolve("layout.c"), PROGRAM);
        String abi = layout == BlkifLayout.X86_32 ? "-DABI_32" : "-DABI_64";
        output("/usr/bin/gcc", "-w", abi, "-o", "layout", "layout.c");
        Map<String, Integer> values = new LinkedHashMap<>();
        output(folder.resolve("layout").toString()).lines().forEach(line -> {
            String[] pair = line.split("=");
            values.put(pair[0], Integer.valueOf(pair[1]));
        });
        return values;
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

    private static Map<String, Integer> expected(BlkifLayout layout) {
        Map<String, Integer> values = new LinkedHashMap<>();
        values.put("blkif_sring.req_prod", BlkifLayout.REQ_PROD);
        values.put("blkif_sring.req_event", BlkifLayout.REQ_EVENT);
        values.put("blkif_sring.rsp_prod", BlkifLayout.RSP_PROD);
        values.put("blkif_sring.rsp_event", BlkifLayout.RSP_EVENT);
        values.put("blkif_sring.ring", BlkifLayout.FIRST_SLOT);
        values.put("slot", layout.slotBytes());
        values.put("blkif_request.operation", BlkifLayout.OPERATION);
        values.put("blkif_request.nr_segments", BlkifLayout.NR_SEGMENTS);
        values.put("blkif_request.handle", BlkifLayout.HANDLE);
        values.put("blkif_request.id", layout.id());
        values.put("blkif_request.sector_number", layout.sectorNumber());
        values.put("blkif_request.seg", layout.segment(0));
        values.put("blkif_request_segment.gref", BlkifLayout.SEGMENT_GREF);
        values.put("blkif_request_segment.first_sect", BlkifLayout.SEGMENT_FIRST_SECT);
        values.put("blkif_request_segment.last_sect", BlkifLayout.SEGMENT_LAST_SECT);
        values.put("segment", BlkifLayout.SEGMENT_BYTES);
        values.put("blkif_request_discard.flag", BlkifLayout.DISCARD_FLAG);
        values.put("blkif_request_discard.id", layout.id());
        values.put("blkif_request_discard.sector_number", layout.sectorNumber());
        values.put("blkif_request_discard.nr_sectors", layout.discardNrSectors());
        values.put("blkif_request_indirect.indirect_op", BlkifLayout.INDIRECT_OP);
        values.put("blkif_request_indirect.nr_segments", BlkifLayout.INDIRECT_NR_SEGMENTS);
        values.put("blkif_request_indirect.id", layout.id());
        values.put("blkif_request_indirect.sector_number", layout.sectorNumber());
        values.put("blkif_request_indirect.handle", layout.indirectHandle());
        values.put("blkif_request_indirect.indirect_grefs", layout.indirectGref(0));
        values.put("blkif_response.id", BlkifLayout.RESPONSE_ID);
        values.put("blkif_response.operation", BlkifLayout.RESPONSE_OPERATION);
        values.put("blkif_response.status", BlkifLayout.RESPONSE_STATUS);
        values.put("response", layout.responseBytes());
        for (int pages = 1; pages <= BlkifLayout.MAX_RING_PAGES; pages *= 2) {
            values.put("slots" + pages, layout.slots(pages));
        }
        values.put("READ", Blkif.BLKIF_OP_READ);
        values.put("WRITE", Blkif.BLKIF_OP_WRITE);
        values.put("BARRIER", Blkif.BLKIF_OP_WRITE_BARRIER);
        values.put("FLUSH", Blkif.BLKIF_OP_FLUSH_DISKCACHE);
        values.put("DISCARD", Blkif.BLKIF_OP_DISCARD);
        values.put("INDIRECT", Blkif.BLKIF_OP_INDIRECT);
        values.put("OKAY", Blkif.BLKIF_RSP_OKAY);
        values.put("ERROR", Blkif.BLKIF_RSP_ERROR);
        values.put("EOPNOTSUPP", Blkif.BLKIF_RSP_EOPNOTSUPP);
        values.put("max segments", Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST);
        values.put("max indirect pages", Blkif.BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST);
        values.put("secure", Blkif.BLKIF_DISCARD_SECURE);
        return values;
    }
}
