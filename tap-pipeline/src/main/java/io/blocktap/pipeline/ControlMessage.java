package io.blocktap.pipeline;

/** What flows down a chain beside requests. Tells of the life of a disk and its sessions. */
public sealed interface ControlMessage {
    /** Returns a short name for logs and traces, for example {@code "connect"}. */
    String name();

    /** Returns whether a control hook may refuse it. */
    default boolean refusable() {
        return false;
    }

    /**
     * A frontend wants to use the disk; requests follow only if nobody refuses.
     *
     * @param session who
     * @param geometry what it will be told
     */
    record Connect(Session session, Geometry geometry) implements ControlMessage {
        @Override
        public String name() {
            return "connect";
        }

        @Override
        public boolean refusable() {
            return true;
        }
    }

    /**
     * A frontend is gone, and all its requests are settled.
     *
     * @param session who
     */
    record Disconnect(Session session) implements ControlMessage {
        @Override
        public String name() {
            return "disconnect";
        }
    }

    /**
     * The disk is to change its size, as frontends see it; requests of the new one follow only if nobody refuses. On the disk's home loop. The size that a stage in the middle
     * offers may change by another number, or not at all: {@link Stage#belowResized}.
     *
     * @param from what frontends see
     * @param to what they are to see; only the size differs
     */
    record Resize(Geometry from, Geometry to) implements ControlMessage {
        @Override
        public String name() {
            return "resize";
        }

        @Override
        public boolean refusable() {
            return true;
        }
    }

    /**
     * A stage's backend has come, gone, or refuses to serve. On the disk's home loop.
     *
     * @param stage the stage's name in the chain
     * @param state how it stands now
     * @param reason why; empty if there is nothing to say
     */
    record Backend(String stage, BackendState state, String reason) implements ControlMessage {
        @Override
        public String name() {
            return "backend";
        }
    }

    /** The disk is about to be closed: no new requests come; those in flight are being settled. */
    record Shutdown() implements ControlMessage {
        @Override
        public String name() {
            return "shutdown";
        }
    }

    /**
     * A message that this stage has accepted was refused by a stage below.
     *
     * @param message what was refused
     */
    record Withdrawn(ControlMessage message) implements ControlMessage {
        @Override
        public String name() {
            return "withdrawn";
        }
    }
}
