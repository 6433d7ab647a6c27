package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.LoopKind;
import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.netty.channel.EventLoopGroup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a person reads where a device can not be opened. */
class XenDevicesTest {
    @TempDir
    private Path folder;

    private Path type;
    private XenDevices devices;

    @BeforeEach
    void makeDevices() {
        type = folder.resolve("type");
        devices = new XenDevices(folder, type);
    }

    @Test
    void saysThatMachineIsNoXenDomain() throws IOException {
        String expected = folder + "/evtchn: this machine is not a Xen domain (" + type
                + " does not say \"xen\"); run blocktap in domain 0, or in another domain that serves disks";

        assertThatThrownBy(() -> EvtchnDevice.open(devices))
                .isInstanceOf(TapException.class)
                .hasMessage(expected);
        Files.writeString(type, "kvm\n");
        assertThatThrownBy(() -> EvtchnDevice.open(devices)).hasMessage(expected);
    }

    @Test
    void namesModuleOfMissingDevice() throws IOException {
        Files.writeString(type, "xen\n");

        assertThatThrownBy(() -> EvtchnDevice.open(devices))
                .isInstanceOf(TapException.class)
                .hasMessage(folder + "/evtchn is not there: load its module (modprobe xen-evtchn), or hand the device "
                        + "into this container");
        assertThatThrownBy(() -> GrantDevice.open(devices)).hasMessageContaining("modprobe xen-gntdev)");
        assertThatThrownBy(() -> GrantAllocator.open(devices)).hasMessageContaining("modprobe xen-gntalloc)");
        assertThat(devices.problem(XenDevices.Device.GNTDEV, Errno.ENODEV)).contains("modprobe xen-gntdev)");
        assertThat(devices.problem(XenDevices.Device.GNTDEV, Errno.ENXIO)).contains("modprobe xen-gntdev)");
    }

    @Test
    void saysWhichRightIsNeeded() {
        assertThat(devices.problem(XenDevices.Device.GNTDEV, Errno.EACCES))
                .isEqualTo(folder + "/gntdev may not be opened: EACCES (permission denied); run as root, or give this "
                        + "user the right to read and write it by a udev rule: KERNEL==\"xen/gntdev\", GROUP=\"...\", "
                        + "MODE=\"0660\"");
        assertThat(devices.problem(XenDevices.Device.EVTCHN, Errno.EPERM)).contains("EPERM", "xen/evtchn");
    }

    @Test
    void namesOtherErrors() {
        assertThat(devices.problem(XenDevices.Device.EVTCHN, 24))
                .isEqualTo(folder + "/evtchn can not be opened: EMFILE (too many open files)");
    }

    @Test
    void failedOpenOfEventChannelsIsFailedFuture() {
        EventLoopGroup group = LoopKind.EPOLL.newGroup(1);

        assertThat(EventChannels.open(group.next(), devices)
                        .awaitUninterruptibly()
                        .cause())
                .isInstanceOf(TapException.class)
                .hasMessageContaining("is not a Xen domain");
        LoopKind.end(group);
    }
}
