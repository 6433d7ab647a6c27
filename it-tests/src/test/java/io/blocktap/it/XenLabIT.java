package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Tool;
import io.blocktap.it.support.XenLab;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The tap {@code xen} in domain 0 of a real Xen, with real PV guests, under emulation. One boot and one server are for all scenarios: shell scripts in {@code src/test/lab/scenarios}, whose
 * first lines say what they prove. They run in the order of their numbers while the tests below wait for them, and the whole log is left in {@code xen-lab.log} of the build folder.
 */
final class XenLabIT {
    private static @Nullable XenLab lab;

    static List<String> scenarios() throws IOException {
        try (Stream<Path> files = Files.list(XenLab.SCRIPTS.resolve("scenarios"))) {
            return files.map(file -> file.getFileName().toString())
                    .filter(name -> name.matches("\\d+-.+\\.sh"))
                    .sorted()
                    .map(name -> name.replaceAll("^\\d+-|\\.sh$", ""))
                    .toList();
        }
    }

    /** Boots it for the first one that asks. */
    private static synchronized XenLab lab() {
        if ("0".equals(System.getenv("BLOCKTAP_CHECK_LAB"))) {
            Tool.skip("the Xen lab is left out: BLOCKTAP_CHECK_LAB=0");
        }
        Tool.requireAll("qemu-system-x86_64", "apt-get", "cpio", "zstd", "python3", "depmod", "mke2fs");
        Tool.requireRoot("the lab's root file system and its shared folder");
        if (lab == null) {
            lab = XenLab.start();
        }
        return lab;
    }

    @AfterAll
    static void theServerHasDrainedAndEndedWell() {
        if (lab != null) {
            try (XenLab ended = lab) {
                assertThat(ended.awaitEnd()).as(ended.lastLines()).isZero();
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scenarios")
    void scenario(String name) {
        XenLab.Ending ending = lab().await(name);

        assertThat(ending.exitCode()).as(ending.said()).isZero();
        System.out.printf("xen lab: %s ok, %d s%n", name, ending.seconds());
    }
}
