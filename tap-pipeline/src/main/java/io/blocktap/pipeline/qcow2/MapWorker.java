package io.blocktap.pipeline.qcow2;

/** What a map needs done that may wait. Called under its monitor: must not wait itself. */
interface MapWorker {
    /** Has a table loaded, and {@link ImageMap#loaded} or {@link ImageMap#notLoaded} called. */
    void load(int l1Index, long hostOffset);

    /** Has a checkpoint made soon. */
    void checkpoint();

    /** Has the storage of clusters given back that were dropped, and then {@link ImageMap#reclaimed} called. */
    void reclaim(Freed freed);
}
