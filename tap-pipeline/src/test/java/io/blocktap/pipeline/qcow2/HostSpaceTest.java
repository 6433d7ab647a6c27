package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Where host clusters are taken from. */
class HostSpaceTest {
    private static final long FIRST_END = 100;

    private final HostSpace space = new HostSpace(FIRST_END, 200);

    @Test
    void dataGoToWhatWasGivenBackFirst() {
        space.giveBack(40, 3);

        assertThat(space.take(8)).isEqualTo(40);
        assertThat(space.granted()).isEqualTo(3);
        assertThat(space.isFresh()).isFalse();
        assertThat(space.take(8)).isEqualTo(FIRST_END);
        assertThat(space.granted()).isEqualTo(8);
        assertThat(space.isFresh()).isTrue();
    }

    /** Tables of an image that lies may have entries for such clusters, and would then be a way to the map. */
    @Test
    void aTableIsNeverPutBeforeTheEndThatTheImageHadFirst() {
        space.giveBack(40, 3);
        assertThat(space.takeForTable()).isEqualTo(FIRST_END);

        space.giveBack(FIRST_END, 1);
        assertThat(space.takeForTable()).isEqualTo(FIRST_END);
        assertThat(space.take(3)).isEqualTo(40);
    }

    @Test
    void dataStopAtTheLimitAndTablesGoBeyond() {
        assertThat(space.take(1000)).isEqualTo(FIRST_END);
        assertThat(space.granted()).isEqualTo(100);
        assertThat(space.take(1)).isEqualTo(-1);
        assertThat(space.takeForTable()).isEqualTo(200);
        assertThat(space.takeAtEnd(4)).isEqualTo(201);
        assertThat(space.end()).isEqualTo(205);
    }

    @Test
    void neighboursThatAreGivenBackBecomeOne() {
        space.giveBack(40, 2);
        space.giveBack(44, 2);
        space.giveBack(42, 2);

        assertThat(space.take(10)).isEqualTo(40);
        assertThat(space.granted()).isEqualTo(6);
    }
}
