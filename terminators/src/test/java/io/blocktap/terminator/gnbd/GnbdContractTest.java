package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.tap.gnbd.GnbdServer;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.TerminatorContractTest;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;

/** {@code gnbd} keeps the contract of all terminators, with the gnbd tap behind it. */
class GnbdContractTest {
    private static final int SIZE = 4 << 20;

    abstract static class Contract extends TerminatorContractTest {
        private final List<GnbdServer> servers = new ArrayList<>();

        abstract String options();

        private Stage serve(Stage disk) throws Exception {
            servers.add(new GnbdServer("", disk));
            return reopen();
        }

        @Override
        protected Stage makeTerminator() throws Exception {
            return serve(new ReferenceDisk(SIZE, ReferenceDisk.Answering.FROM_WORKERS));
        }

        @Override
        protected Stage makeReadOnlyTerminator() throws Exception {
            return serve(
                    new ReferenceDisk(Geometry.ofSize(SIZE, Feature.READ_ONLY), ReferenceDisk.Answering.FROM_WORKERS));
        }

        @Override
        protected Stage reopen() throws Exception {
            return Terminators.make(servers.get(servers.size() - 1).port(), options());
        }

        @AfterEach
        void endServers() {
            servers.forEach(GnbdServer::close);
        }
    }

    @Nested
    class WithOneConnection extends Contract {
        @Override
        String options() {
            return "";
        }
    }

    @Nested
    class WithFourConnections extends Contract {
        @Override
        String options() {
            return ",connections=4";
        }
    }
}
