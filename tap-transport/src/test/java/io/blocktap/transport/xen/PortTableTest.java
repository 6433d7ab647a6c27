package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

/** Ports and the states of their last ring. */
class PortTableTest {
    private final PortTable table = new PortTable();
    private final EventChannels.Listener first = port -> {};
    private final EventChannels.Listener second = port -> {};

    @Test
    void findsEachListenerUpToTheLargestPortOfXen() {
        for (int port : new int[] {1, 63, 64, 65, 127, 128, 4095, 131_071}) {
            EventChannels.Listener listener = any -> {};
            table.put(port, listener);
            assertThat(table.rung(port)).isSameAs(listener);
        }
        assertThat(table.bound()).isEqualTo(8);
        assertThat(table.end()).isEqualTo(131_072);
        assertThat(table.isBound(131_070)).isFalse();
    }

    @Test
    void growthKeepsListenersAndStates() {
        table.put(5, first);
        table.rung(5);
        table.hold(5);

        table.put(100_000, second);

        assertThat(table.rung(5)).as("held").isNull();
        assertThat(table.unhold(5)).isTrue();
        assertThat(table.rung(5)).isSameAs(first);
    }

    @Test
    void knowsNoOtherPorts() {
        table.put(5, first);
        for (int port : new int[] {Integer.MIN_VALUE, -1, 0, 4, 6, 64, Integer.MAX_VALUE}) {
            assertThat(table.isBound(port)).isFalse();
            assertThat(table.rung(port)).isNull();
            assertThat(table.hold(port)).isFalse();
            assertThat(table.unhold(port)).isFalse();
            assertThat(table.unmask(port)).isFalse();
            table.remove(port);
        }
        assertThat(table.bound()).isOne();
    }

    @Test
    void refusesPortThatIsInUseAndPortZero() {
        table.put(5, first);

        assertThatThrownBy(() -> table.put(5, second))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("the kernel gave out event channel 5, which is in use");
        assertThatThrownBy(() -> table.put(0, second)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void unmasksOnceForEachDelivery() {
        table.put(5, first);
        assertThat(table.unmask(5)).isFalse();

        table.rung(5);
        table.rung(5);

        assertThat(table.unmask(5)).isTrue();
        assertThat(table.unmask(5)).isFalse();
    }

    @Test
    void heldPortIsNotUnmaskedWithItsBatch() {
        table.put(5, first);
        assertThat(table.hold(5)).as("has not rung").isFalse();

        table.rung(5);
        assertThat(table.hold(5)).isTrue();

        assertThat(table.unmask(5)).isFalse();
        assertThat(table.unhold(5)).isTrue();
        assertThat(table.unhold(5)).isFalse();
    }

    @Test
    void newBindingOfSameNumberBeginsAnew() {
        table.put(5, first);
        table.rung(5);
        table.hold(5);

        table.remove(5);
        table.remove(5);
        table.put(5, second);

        assertThat(table.unhold(5)).isFalse();
        assertThat(table.rung(5)).isSameAs(second);
        assertThat(table.bound()).isOne();
        table.clear();
        assertThat(table.bound()).isZero();
        assertThat(table.rung(5)).isNull();
    }
}
