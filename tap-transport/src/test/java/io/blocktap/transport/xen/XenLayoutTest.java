package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Each offset and request number against what a C compiler gives for {@code xen/evtchn.h}, {@code xen/gntdev.h} and {@code xen/gntalloc.h}. */
class XenLayoutTest {
    @Test
    void requestsOfEvtchn() {
        assertThat(EvtchnLayout.IOCTL_EVTCHN_BIND_INTERDOMAIN).isEqualTo(0x00084501);
        assertThat(EvtchnLayout.IOCTL_EVTCHN_BIND_UNBOUND_PORT).isEqualTo(0x00044502);
        assertThat(EvtchnLayout.IOCTL_EVTCHN_UNBIND).isEqualTo(0x00044503);
        assertThat(EvtchnLayout.IOCTL_EVTCHN_NOTIFY).isEqualTo(0x00044504);
        assertThat(EvtchnLayout.IOCTL_EVTCHN_RESET).isEqualTo(0x00004505);
    }

    @Test
    void argumentsOfEvtchn() {
        assertThat(EvtchnLayout.INTERDOMAIN_REMOTE_DOMAIN).isEqualTo(0);
        assertThat(EvtchnLayout.INTERDOMAIN_REMOTE_PORT).isEqualTo(4);
        assertThat(EvtchnLayout.UNBOUND_REMOTE_DOMAIN).isEqualTo(0);
        assertThat(EvtchnLayout.PORT).isEqualTo(0);
        assertThat(EvtchnLayout.ARGUMENT_BYTES).isEqualTo(8);
        assertThat(EvtchnLayout.PORT_BYTES).isEqualTo(4);
        assertThat(EvtchnLayout.MAX_TRANSFER_BYTES).isEqualTo(4096);
    }

    @Test
    void requestsOfGntdev() {
        assertThat(GntdevLayout.IOCTL_GNTDEV_MAP_GRANT_REF).isEqualTo(0x00184700);
        assertThat(GntdevLayout.IOCTL_GNTDEV_UNMAP_GRANT_REF).isEqualTo(0x00104701);
        assertThat(GntdevLayout.IOCTL_GNTDEV_SET_UNMAP_NOTIFY).isEqualTo(0x00104707);
        assertThat(GntdevLayout.IOCTL_GNTDEV_GRANT_COPY).isEqualTo(0x00104708);
    }

    @Test
    void mapping() {
        assertThat(GntdevLayout.MAP_COUNT).isEqualTo(0);
        assertThat(GntdevLayout.MAP_INDEX).isEqualTo(8);
        assertThat(GntdevLayout.MAP_REFS).isEqualTo(16);
        assertThat(GntdevLayout.REF_DOMID).isEqualTo(0);
        assertThat(GntdevLayout.REF_REF).isEqualTo(4);
        assertThat(GntdevLayout.REF_BYTES).isEqualTo(8);
        assertThat(GntdevLayout.UNMAP_INDEX).isEqualTo(0);
        assertThat(GntdevLayout.UNMAP_COUNT).isEqualTo(8);
        assertThat(GntdevLayout.UNMAP_BYTES).isEqualTo(16);
    }

    @Test
    void unmapNotification() {
        assertThat(GntdevLayout.NOTIFY_INDEX).isEqualTo(0);
        assertThat(GntdevLayout.NOTIFY_ACTION).isEqualTo(8);
        assertThat(GntdevLayout.NOTIFY_EVENT_CHANNEL_PORT).isEqualTo(12);
        assertThat(GntdevLayout.NOTIFY_BYTES).isEqualTo(16);
        assertThat(GntdevLayout.UNMAP_NOTIFY_CLEAR_BYTE).isEqualTo(1);
        assertThat(GntdevLayout.UNMAP_NOTIFY_SEND_EVENT).isEqualTo(2);
    }

    @Test
    void grantCopy() {
        assertThat(GntdevLayout.COPY_COUNT).isEqualTo(0);
        assertThat(GntdevLayout.COPY_SEGMENTS).isEqualTo(8);
        assertThat(GntdevLayout.COPY_BYTES).isEqualTo(16);
        assertThat(GntdevLayout.SEGMENT_SOURCE).isEqualTo(0);
        assertThat(GntdevLayout.SEGMENT_DEST).isEqualTo(8);
        assertThat(GntdevLayout.SEGMENT_LEN).isEqualTo(16);
        assertThat(GntdevLayout.SEGMENT_FLAGS).isEqualTo(18);
        assertThat(GntdevLayout.SEGMENT_STATUS).isEqualTo(20);
        assertThat(GntdevLayout.SEGMENT_BYTES).isEqualTo(24);
        assertThat(GntdevLayout.SIDE_VIRT).isEqualTo(0);
        assertThat(GntdevLayout.SIDE_REF).isEqualTo(0);
        assertThat(GntdevLayout.SIDE_OFFSET).isEqualTo(4);
        assertThat(GntdevLayout.SIDE_DOMID).isEqualTo(6);
        assertThat(GntdevLayout.GNTCOPY_SOURCE_GREF).isEqualTo(1);
        assertThat(GntdevLayout.GNTCOPY_DEST_GREF).isEqualTo(2);
    }

    @Test
    void gntalloc() {
        assertThat(GntallocLayout.IOCTL_GNTALLOC_ALLOC_GREF).isEqualTo(0x00184705);
        assertThat(GntallocLayout.IOCTL_GNTALLOC_DEALLOC_GREF).isEqualTo(0x00104706);
        assertThat(GntallocLayout.ALLOC_DOMID).isEqualTo(0);
        assertThat(GntallocLayout.ALLOC_FLAGS).isEqualTo(2);
        assertThat(GntallocLayout.ALLOC_COUNT).isEqualTo(4);
        assertThat(GntallocLayout.ALLOC_INDEX).isEqualTo(8);
        assertThat(GntallocLayout.ALLOC_GREF_IDS).isEqualTo(16);
        assertThat(GntallocLayout.GREF_BYTES).isEqualTo(4);
        assertThat(GntallocLayout.GNTALLOC_FLAG_WRITABLE).isEqualTo(1);
        assertThat(GntallocLayout.DEALLOC_INDEX).isEqualTo(0);
        assertThat(GntallocLayout.DEALLOC_COUNT).isEqualTo(8);
    }
}
