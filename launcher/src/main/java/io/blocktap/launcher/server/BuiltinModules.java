package io.blocktap.launcher.server;

import com.google.inject.Module;
import io.blocktap.interposer.cow.CowModule;
import io.blocktap.interposer.dump.DumpModule;
import io.blocktap.interposer.template.CountModule;
import io.blocktap.pipeline.tap.gnbd.GnbdModule;
import io.blocktap.pipeline.tap.loopback.LoopbackModule;
import io.blocktap.pipeline.tap.nbd.NbdModule;
import io.blocktap.pipeline.tap.xen.XenModule;
import io.blocktap.terminator.gnbd.GnbdTerminatorModule;
import io.blocktap.terminator.image.ImageModule;
import io.blocktap.terminator.memory.MemoryModule;
import io.blocktap.terminator.nulldisk.NullModule;
import io.blocktap.terminator.qcow2.Qcow2Module;
import java.util.List;

/** The stages and taps that blocktap brings: the one place that lists them. A new package is one line here. */
final class BuiltinModules {
    private BuiltinModules() {}

    static List<Module> all() {
        return List.of(
                // taps
                new GnbdModule(),
                new LoopbackModule(),
                new NbdModule(),
                new XenModule(),
                // interposers
                new CountModule(),
                new CowModule(),
                new DumpModule(),
                // terminators
                new GnbdTerminatorModule(),
                new ImageModule(),
                new Qcow2Module(),
                new MemoryModule(),
                new NullModule());
    }
}
