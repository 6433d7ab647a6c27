package io.blocktap.pipeline;

import java.time.InstantSource;

/**
 * What an opened stage may use of its surroundings.
 *
 * @param diskName the disk's name, for messages
 * @param stageName the stage's name in the chain, unique there: {@code dump}, a second one {@code dump#2}
 * @param workers runs what may wait
 * @param clock the time of day
 */
public record StageContext(String diskName, String stageName, WorkerPool workers, InstantSource clock) {
    /** Returns the start of a log line or message: {@code disk/stage}, or only the stage if the disk has no name. */
    public String label() {
        return diskName.isEmpty() ? stageName : diskName + "/" + stageName;
    }
}
