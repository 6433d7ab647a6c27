package io.blocktap.pipeline;

import io.netty.channel.EventLoop;
import java.time.InstantSource;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;
import org.jspecify.annotations.Nullable;

/**
 * What an opened stage may use of its surroundings.
 *
 * @param diskName the disk's name, for messages
 * @param stageName the stage's name in the chain, unique there: {@code dump}, a second one {@code dump#2}
 * @param workers runs what may wait
 * @param clock the time of day
 * @param timers knows when; its threads are event loops, so work of any length goes from there to the workers ({@link #repeat})
 * @param home the disk's home loop: where the hooks of a stage that is confined to one loop are called, for sockets and other things of its own
 * @param resizer takes the stage's new size to its disk
 * @param backends takes news of the stage's backend to its disk
 * @param isReadOnly whether a stage above only reads: nothing need be opened for writing
 * @param below the next stage below that is not {@linkplain Stage#isTransparent transparent}, open; null for a terminator
 */
public record StageContext(
        String diskName,
        String stageName,
        WorkerPool workers,
        InstantSource clock,
        ScheduledExecutorService timers,
        EventLoop home,
        Resizer resizer,
        BackendNews backends,
        boolean isReadOnly,
        @Nullable Stage below) {
    /** Returns the start of a log line or message: {@code disk/stage}, or only the stage if the disk has no name. */
    public String label() {
        return diskName.isEmpty() ? stageName : diskName + "/" + stageName;
    }

    /**
     * Tells the disk that this stage has another size from now on. Nothing else of a geometry can change at run time: frontends could not be told of it.
     *
     * <p>The stages above are {@linkplain Stage#belowResized asked} what that makes of theirs, and their control hooks may refuse what would change for frontends. The stage
     * must take requests of both sizes when it calls this, and those of the old one until all that came before have been answered: a request is checked against the size that
     * was valid when it came.
     *
     * <p>Any thread, from the end of {@link Stage#open} on; changes of one disk are made one after another, in the order of the calls.
     *
     * @param sizeBytes what the stage offers now, 0 or more
     * @return completes when all streams take requests of the new size, and the taps have been told to tell their frontends; fails with {@link RefusedException} if a
     *     control hook refuses or the disk is going down. Then the old size stays; that was logged
     */
    public CompletableFuture<Void> resize(long sizeBytes) {
        return resizer.resize(sizeBytes);
    }

    /**
     * Tells the disk how what this stage works on stands, for a stage that may lose it and get it back (a server elsewhere). Control hooks hear of it by {@link
     * ControlMessage.Backend}, in the order of the calls; {@link Disk#backends} has the last one.
     *
     * <p>Any thread, from {@link Stage#open} on.
     *
     * @param reason why, in words; empty if there is nothing to say
     */
    public void backend(BackendState state, String reason) {
        backends.tell(new ControlMessage.Backend(stageName, state, reason));
    }

    /**
     * Does something again and again on a worker thread, the first time after one period. If it takes longer than that, or the workers are busy, it is done less often.
     *
     * @param periodMillis at least so long from one beginning to the next
     * @param work may wait; what it throws is logged
     * @return to be closed with the stage; nothing of it keeps a process from ending
     */
    public RepeatedWork repeat(long periodMillis, Runnable work) {
        return new RepeatedWork(timers, workers, periodMillis, work);
    }
}
