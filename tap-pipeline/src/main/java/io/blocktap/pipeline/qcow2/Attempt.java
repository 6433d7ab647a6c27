package io.blocktap.pipeline.qcow2;

/** What became of a try to change something in a map. */
enum Attempt {
    /** It can be done now, or was done. */
    DONE,
    /** The map has changed: look again. */
    LOOK_AGAIN,
    /** The operation is woken when it is worth another try. */
    WAIT,
    /** No room, not even after a checkpoint. */
    NO_SPACE,
    /** The image is damaged here. */
    BAD
}
