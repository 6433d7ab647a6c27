package io.blocktap.pipeline.tap.xen;

import static io.blocktap.transport.xen.store.XenbusState.CLOSED;
import static io.blocktap.transport.xen.store.XenbusState.CLOSING;
import static io.blocktap.transport.xen.store.XenbusState.CONNECTED;
import static io.blocktap.transport.xen.store.XenbusState.INITIALISED;
import static io.blocktap.transport.xen.store.XenbusState.INITIALISING;
import static io.blocktap.transport.xen.store.XenbusState.INIT_WAIT;
import static io.blocktap.transport.xen.store.XenbusState.UNKNOWN;
import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.transport.xen.store.XenbusState;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The backend takes the steps that guests, firmware and toolstacks wait for, whatever they do. */
class XenbusPlanTest {
    /** A device as far as the plan knows it; steps succeed at once. */
    private static final class Model {
        boolean isThere = true;
        XenbusState own = INITIALISING;
        XenbusState frontend = INITIALISING;
        boolean isOnline = true;
        boolean isReady = true;
        boolean hasRings;
        boolean sameRings = true;
        boolean forgotten;
        final List<XenbusPlan.Step> steps = new ArrayList<>();

        /** Takes steps until there is none; fails if that never ends. */
        Model settle() {
            for (int i = 0; i < 10; i++) {
                XenbusPlan.Step step = XenbusPlan.next(
                        new XenbusPlan.Seen(isThere, own, frontend, isOnline, isReady, hasRings, sameRings));
                if (step == XenbusPlan.Step.NONE || forgotten) {
                    return this;
                }
                steps.add(step);
                switch (step) {
                    case OFFER -> own = INIT_WAIT;
                    case CONNECT -> {
                        hasRings = true;
                        sameRings = true;
                        own = CONNECTED;
                    }
                    case DISCONNECT -> hasRings = false;
                    case SAY_CONNECTED -> own = CONNECTED;
                    case SAY_CLOSING -> own = CLOSING;
                    case SAY_CLOSED -> own = CLOSED;
                    default -> forgotten = true;
                }
            }
            throw new AssertionError("it takes steps without end: " + steps);
        }

        Model frontend(XenbusState state) {
            frontend = state;
            return settle();
        }

        Model connected() {
            settle();
            frontend(INITIALISED);
            return frontend(CONNECTED);
        }
    }

    @Test
    void connectsAGuestThatComesUp() {
        Model device = new Model().settle();
        assertThat(device.own).isEqualTo(INIT_WAIT);
        device.frontend(INITIALISED);
        assertThat(device.own).isEqualTo(CONNECTED);
        assertThat(device.hasRings).isTrue();
        device.frontend(CONNECTED);
        assertThat(device.steps).containsExactly(XenbusPlan.Step.OFFER, XenbusPlan.Step.CONNECT);
    }

    @Test
    void offersBeforeTheHotplugScriptAndConnectsOnlyAfterIt() {
        Model device = new Model();
        device.isReady = false;
        device.settle();
        assertThat(device.own).as("xl waits for it before it runs the script").isEqualTo(INIT_WAIT);
        device.frontend(INITIALISED);
        assertThat(device.hasRings).isFalse();
        device.isReady = true;
        assertThat(device.settle().own).isEqualTo(CONNECTED);
    }

    @Test
    void servesFirmwareThatDoesNotWaitAndThenTheSystemItStarts() {
        Model device = new Model();
        device.frontend(CONNECTED); // OVMF goes from Initialising straight there
        assertThat(device.own).isEqualTo(CONNECTED);
        assertThat(device.frontend(CLOSING).own).isEqualTo(CLOSING);
        assertThat(device.frontend(CLOSED).own).isEqualTo(CLOSED);
        assertThat(device.frontend(INITIALISING).own).isEqualTo(INIT_WAIT);
        device.frontend(INITIALISED);
        assertThat(device.own).isEqualTo(CONNECTED);
    }

    @Test
    void closesWhenTheToolstackDetaches() {
        Model device = new Model().connected();
        device.isOnline = false;
        device.own = CLOSING;
        assertThat(device.settle().hasRings).as("the guest still writes").isTrue();
        device.frontend(CLOSING);
        assertThat(device.hasRings).isFalse();
        device.frontend(CLOSED);
        assertThat(device.own).isEqualTo(CLOSED);
        device.isThere = false;
        assertThat(device.settle().forgotten).isTrue();
    }

    @ParameterizedTest
    @CsvSource({"INITIALISING", "INIT_WAIT", "CLOSED", "UNKNOWN"})
    void closesAtOnceWhenTheToolstackDetachesADeviceNobodyUses(XenbusState frontend) {
        Model device = new Model().settle();
        device.frontend = frontend;
        device.isOnline = false;
        device.own = CLOSING;
        assertThat(device.settle().own).isEqualTo(CLOSED);
    }

    @Test
    void closesADeviceThatIsNotWantedAnyMoreBeforeItsGuestHasCome() {
        Model device = new Model().settle();
        assertThat(device.own).isEqualTo(INIT_WAIT);

        device.isOnline = false; // only that: the toolstack writes Closing with it, others may not

        assertThat(device.settle().own).isEqualTo(CLOSED);
    }

    @Test
    void letsGoOfTheRingsOfADeadGuestAndForgetsIt() {
        Model device = new Model().connected();
        device.frontend(UNKNOWN);
        assertThat(device.hasRings).isFalse();
        device.isThere = false;
        device.settle();
        assertThat(device.forgotten).isTrue();
    }

    @Test
    void takesNewRingsOfAGuestThatWasRestored() {
        Model device = new Model().connected();
        device.sameRings = false;
        device.frontend(INITIALISED);
        assertThat(device.steps).endsWith(XenbusPlan.Step.DISCONNECT, XenbusPlan.Step.CONNECT);
        assertThat(device.hasRings).isTrue();
    }

    @Test
    void takesOverTheRingsOfABackendThatEnded() {
        Model device = new Model();
        device.own = CONNECTED;
        device.frontend = CONNECTED;
        device.settle();
        assertThat(device.steps).containsExactly(XenbusPlan.Step.CONNECT);
    }

    @Test
    void startsAnewForAGuestWhoseKernelDiedWithoutClosing() {
        Model device = new Model().connected();
        device.frontend(INITIALISING);
        assertThat(device.hasRings).isFalse();
        assertThat(device.own).isEqualTo(INIT_WAIT);
        assertThat(device.frontend(INITIALISED).own).isEqualTo(CONNECTED);
    }

    @Test
    void comesToRestWhateverTheNodesSay() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        Model device = new Model();
        for (int i = 0; i < 100_000; i++) {
            switch (random.nextInt(6)) {
                case 0 -> device.own = XenbusState.values()[random.nextInt(9)];
                case 1 -> device.isOnline = random.nextBoolean();
                case 2 -> device.isReady = random.nextBoolean();
                case 3 -> device.sameRings = random.nextBoolean();
                default -> device.frontend = XenbusState.values()[random.nextInt(9)];
            }
            try {
                device.settle();
            } catch (AssertionError e) {
                throw new AssertionError("seed " + seed + ", step " + i, e);
            }
            if (device.frontend == UNKNOWN || device.frontend == CLOSED) {
                assertThat(device.hasRings).as("seed %d, step %d", seed, i).isFalse();
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "4, CONNECTED",
        "0, UNKNOWN",
        "9, UNKNOWN",
        "'', UNKNOWN",
        "44, UNKNOWN",
        "x, UNKNOWN",
        "' 3\n', INITIALISED"
    })
    void readsOnlyKnownStates(String text, XenbusState state) {
        assertThat(XenbusState.of(text)).isEqualTo(state);
    }
}
