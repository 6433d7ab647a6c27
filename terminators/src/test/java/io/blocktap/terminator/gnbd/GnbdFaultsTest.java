package io.blocktap.terminator.gnbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.tap.gnbd.GnbdServer;
import io.blocktap.pipeline.testkit.Oracle;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Terminator and tap with a bad network between them: every request is answered well, and the disk is what was written to it. */
@Timeout(120)
final class GnbdFaultsTest {
    private static final int PART = 2 << 20;
    private static final int CLIENTS = 4;
    private static final int LONGEST = 300 << 10;

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"", ",connections=3"})
    void nothingIsLostDoubledOrRefusedOverAnyNumberOfCuts(String options) throws Exception {
        long seed = System.nanoTime();
        byte[] expected = new byte[CLIENTS * PART];
        try (GnbdServer server =
                        new GnbdServer("", new ReferenceDisk(CLIENTS * PART, ReferenceDisk.Answering.FROM_WORKERS));
                FaultProxy proxy = new FaultProxy(server.port(), seed)) {
            proxy.beGood(); // until it is open: the first login is not tried again
            try (StageHarness harness =
                    StageHarness.open(Terminators.make(proxy.port(), ",reconnect=100ms" + options))) {
                proxy.beBad();
                List<CompletableFuture<byte[]>> clients = new ArrayList<>();
                for (int i = 0; i < CLIENTS; i++) {
                    int start = i * PART;
                    TestClient client = i == 0 ? harness.client() : harness.connect();
                    Oracle oracle = new Oracle(client, harness.disk().geometry(), start, PART, seed + i);
                    clients.add(CompletableFuture.supplyAsync(
                            () -> {
                                oracle.exercise(250, LONGEST);
                                oracle.verifyAll();
                                return oracle.expected();
                            },
                            task -> new Thread(task, "client").start()));
                }
                for (int i = 0; i < CLIENTS; i++) {
                    System.arraycopy(TestClient.await(clients.get(i)), 0, expected, i * PART, PART);
                }
                proxy.beGood(); // for the end of the sessions
            }
            try (StageHarness direct = StageHarness.open(Terminators.make(server.port(), ""))) {
                assertThat(Arrays.equals(direct.client().read(0, expected.length), expected))
                        .as("the server's disk, seed " + seed)
                        .isTrue();
            }
            assertThat(proxy.cuts()).as("cuts, seed " + seed).isGreaterThan(8);
            assertThat(proxy.keepAlives()).isPositive();
        }
    }
}
