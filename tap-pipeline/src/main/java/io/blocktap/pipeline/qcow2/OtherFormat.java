package io.blocktap.pipeline.qcow2;

import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Knows other image formats by how they begin, to name them: who gave one of them did not mean a raw disk.
 *
 * <p>Source: QEMU, {@code block/vmdk.c}, {@code block/vhdx.h}, {@code block/vdi.c}, {@code block/vpc.c}.
 */
final class OtherFormat {
    private static final int VMDK_4 = 0x4b444d56;
    private static final int VMDK_3 = 0x434f5744;
    private static final long VHDX = 0x7668647866696c65L;
    private static final long VPC = 0x636f6e6563746978L;
    private static final int VDI_OFFSET = 64;
    private static final int VDI = 0x7f10dabe;

    private OtherFormat() {}

    /**
     * Returns a format's name as qemu-img has it.
     *
     * @param beginning some bytes, from 0 on
     * @return null if it is none that is known here
     */
    static @Nullable String of(ByteBuffer beginning) {
        int first = beginning.getInt(0);
        if (first == VMDK_4 || first == VMDK_3) {
            return "vmdk";
        }
        if (beginning.getLong(0) == VHDX) {
            return "vhdx";
        }
        if (beginning.getLong(0) == VPC) {
            return "vpc";
        }
        return beginning.getInt(VDI_OFFSET) == VDI ? "vdi" : null;
    }
}
