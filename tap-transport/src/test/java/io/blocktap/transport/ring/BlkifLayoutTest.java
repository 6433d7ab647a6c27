package io.blocktap.transport.ring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Each offset against the number that a C compiler gives for {@code io/ring.h} and {@code io/blkif.h}. */
class BlkifLayoutTest {
    private static final BlkifLayout X64 = BlkifLayout.X86_64;
    private static final BlkifLayout X32 = BlkifLayout.X86_32;

    @Test
    void indexesLieAtTheHead() {
        assertThat(BlkifLayout.REQ_PROD).isEqualTo(0);
        assertThat(BlkifLayout.REQ_EVENT).isEqualTo(4);
        assertThat(BlkifLayout.RSP_PROD).isEqualTo(8);
        assertThat(BlkifLayout.RSP_EVENT).isEqualTo(12);
        assertThat(BlkifLayout.FIRST_SLOT).isEqualTo(64);
    }

    @Test
    void requestFields() {
        assertThat(BlkifLayout.OPERATION).isEqualTo(0);
        assertThat(BlkifLayout.NR_SEGMENTS).isEqualTo(1);
        assertThat(BlkifLayout.HANDLE).isEqualTo(2);
        assertThat(X64.id()).isEqualTo(8);
        assertThat(X32.id()).isEqualTo(4);
        assertThat(X64.sectorNumber()).isEqualTo(16);
        assertThat(X32.sectorNumber()).isEqualTo(12);
        assertThat(X64.segment(0)).isEqualTo(24);
        assertThat(X32.segment(0)).isEqualTo(20);
        assertThat(X64.segment(10)).isEqualTo(104);
        assertThat(X32.segment(10)).isEqualTo(100);
        assertThat(X64.slotBytes()).isEqualTo(112);
        assertThat(X32.slotBytes()).isEqualTo(108);
    }

    @Test
    void segmentFields() {
        assertThat(BlkifLayout.SEGMENT_GREF).isEqualTo(0);
        assertThat(BlkifLayout.SEGMENT_FIRST_SECT).isEqualTo(4);
        assertThat(BlkifLayout.SEGMENT_LAST_SECT).isEqualTo(5);
        assertThat(BlkifLayout.SEGMENT_BYTES).isEqualTo(8);
    }

    @Test
    void discardFields() {
        assertThat(BlkifLayout.DISCARD_FLAG).isEqualTo(1);
        assertThat(X64.discardNrSectors()).isEqualTo(24);
        assertThat(X32.discardNrSectors()).isEqualTo(20);
    }

    @Test
    void indirectFields() {
        assertThat(BlkifLayout.INDIRECT_OP).isEqualTo(1);
        assertThat(BlkifLayout.INDIRECT_NR_SEGMENTS).isEqualTo(2);
        assertThat(X64.indirectHandle()).isEqualTo(24);
        assertThat(X32.indirectHandle()).isEqualTo(20);
        assertThat(X64.indirectGref(0)).isEqualTo(28);
        assertThat(X32.indirectGref(0)).isEqualTo(24);
        assertThat(X64.indirectGref(7)).isEqualTo(56);
        assertThat(X32.indirectGref(7)).isEqualTo(52);
    }

    @Test
    void responseFields() {
        assertThat(BlkifLayout.RESPONSE_ID).isEqualTo(0);
        assertThat(BlkifLayout.RESPONSE_OPERATION).isEqualTo(8);
        assertThat(BlkifLayout.RESPONSE_STATUS).isEqualTo(10);
        assertThat(X64.responseBytes()).isEqualTo(16);
        assertThat(X32.responseBytes()).isEqualTo(12);
    }

    @ParameterizedTest
    @CsvSource({"1,32", "2,64", "4,128", "8,256", "16,512"})
    void slotsOfRing(int pages, int slots) {
        assertThat(X64.slots(pages)).isEqualTo(slots);
        assertThat(X32.slots(pages)).isEqualTo(slots);
    }

    @ParameterizedTest
    @ValueSource(ints = {Integer.MIN_VALUE, -1, 0, 3, 15, 17, 32})
    void refusesOtherPageCounts(int pages) {
        assertThatThrownBy(() -> X64.slots(pages))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("ring of " + pages + " pages; it must have 1, 2, 4, 8 or 16");
    }

    @Test
    void constantsOfTheProtocol() {
        assertThat(Blkif.BLKIF_OP_READ).isEqualTo(0);
        assertThat(Blkif.BLKIF_OP_WRITE).isEqualTo(1);
        assertThat(Blkif.BLKIF_OP_WRITE_BARRIER).isEqualTo(2);
        assertThat(Blkif.BLKIF_OP_FLUSH_DISKCACHE).isEqualTo(3);
        assertThat(Blkif.BLKIF_OP_DISCARD).isEqualTo(5);
        assertThat(Blkif.BLKIF_OP_INDIRECT).isEqualTo(6);
        assertThat(Blkif.BLKIF_RSP_OKAY).isEqualTo(0);
        assertThat(Blkif.BLKIF_RSP_ERROR).isEqualTo(-1);
        assertThat(Blkif.BLKIF_RSP_EOPNOTSUPP).isEqualTo(-2);
        assertThat(Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST).isEqualTo(11);
        assertThat(Blkif.BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST).isEqualTo(8);
        assertThat(Blkif.BLKIF_DISCARD_SECURE).isEqualTo(1);
        assertThat(Blkif.SEGMENTS_PER_INDIRECT_PAGE).isEqualTo(512);
        assertThat(Blkif.SECTORS_PER_PAGE).isEqualTo(8);
    }
}
