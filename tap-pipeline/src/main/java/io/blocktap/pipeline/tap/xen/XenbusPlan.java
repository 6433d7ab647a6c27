package io.blocktap.pipeline.tap.xen;

import io.blocktap.transport.xen.store.XenbusState;

/**
 * What the backend of one device does next, given what both sides' nodes say and what it has: a pure function, asked anew after each step and each change of a node. Events tell
 * only that something may have changed, so there is no history to get wrong: a guest that toggles its state (XSA-350) leads to no more than the next step.
 */
final class XenbusPlan {
    /** A step. */
    enum Step {
        /** All is as it should be. */
        NONE,
        /** Write what is offered, and state InitWait. */
        OFFER,
        /** Read what the frontend has published, map the rings, write the geometry and state Connected. */
        CONNECT,
        /** Drain and let go of the rings; then look again. */
        DISCONNECT,
        /** Write state Connected again: the rings are served, the node says otherwise. */
        SAY_CONNECTED,
        /** Write state Closing. */
        SAY_CLOSING,
        /** Write state Closed. */
        SAY_CLOSED,
        /** The device is gone: forget it. */
        FORGET
    }

    /**
     * What is seen of a device.
     *
     * @param isThere whether the toolstack's nodes are there
     * @param own the backend's state
     * @param frontend the frontend's state
     * @param isOnline whether the toolstack wants the device: 0 asks to end it
     * @param isReady whether the hot-plug script, if there is one, has done its work
     * @param hasRings whether rings are mapped
     * @param sameRings whether they are those that the frontend has published now
     */
    record Seen(
            boolean isThere,
            XenbusState own,
            XenbusState frontend,
            boolean isOnline,
            boolean isReady,
            boolean hasRings,
            boolean sameRings) {}

    private XenbusPlan() {}

    static Step next(Seen seen) {
        if (!seen.isThere) {
            return seen.hasRings ? Step.DISCONNECT : Step.FORGET;
        }
        return switch (seen.frontend) {
            case INITIALISING, INIT_WAIT -> whileFrontendStarts(seen);
            case INITIALISED, CONNECTED, RECONFIGURING, RECONFIGURED -> whileFrontendIsActive(seen);
            case CLOSING -> whileFrontendCloses(seen);
            case CLOSED, UNKNOWN -> withoutFrontend(seen);
        };
    }

    private static Step whileFrontendStarts(Seen seen) {
        if (seen.hasRings) {
            return Step.DISCONNECT; // it began anew without closing: a crashed guest's kernel
        }
        return switch (seen.own) {
            case INIT_WAIT -> seen.isOnline ? Step.NONE : Step.SAY_CLOSED;
            case CLOSING -> Step.SAY_CLOSED; // the toolstack asks for the end
            case INITIALISING, UNKNOWN -> Step.OFFER;
            default -> seen.isOnline ? Step.OFFER : closed(seen);
        };
    }

    private static Step whileFrontendIsActive(Seen seen) {
        if (seen.own == XenbusState.CLOSING) {
            return Step.NONE; // the toolstack asks for the end; the frontend closes when the guest lets go
        }
        if (seen.own == XenbusState.INITIALISING || seen.own == XenbusState.UNKNOWN) {
            return Step.OFFER; // OVMF does not wait for it
        }
        if (!seen.isReady) {
            return Step.NONE;
        }
        if (!seen.hasRings) {
            return seen.isOnline || seen.own == XenbusState.CONNECTED ? Step.CONNECT : Step.NONE;
        }
        if (!seen.sameRings) {
            return Step.DISCONNECT; // a guest that was saved and restored has new ones
        }
        return seen.own == XenbusState.CONNECTED ? Step.NONE : Step.SAY_CONNECTED;
    }

    private static Step whileFrontendCloses(Seen seen) {
        if (seen.hasRings) {
            return Step.DISCONNECT;
        }
        return seen.own == XenbusState.CLOSING || seen.own == XenbusState.CLOSED ? Step.NONE : Step.SAY_CLOSING;
    }

    private static Step withoutFrontend(Seen seen) {
        if (seen.hasRings) {
            return Step.DISCONNECT;
        }
        return switch (seen.own) {
            case INITIALISING, UNKNOWN -> Step.OFFER; // the toolstack waits for it, the frontend may come later
            case INIT_WAIT -> seen.isOnline ? Step.NONE : closed(seen);
            default -> closed(seen);
        };
    }

    private static Step closed(Seen seen) {
        return seen.own == XenbusState.CLOSED ? Step.NONE : Step.SAY_CLOSED;
    }
}
