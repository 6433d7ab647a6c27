package io.blocktap.pipeline;

import io.netty.channel.EventLoop;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Opens the stages of a chain, from the terminator up, and makes a {@link Disk} of them. On a thread that may wait. */
public final class DiskOpener {
    private final TapLoops loops;
    private final WorkerPool workers;
    private final InstantSource clock;

    /** Makes an opener whose disks use these loops and workers. */
    public DiskOpener(TapLoops loops, WorkerPool workers, InstantSource clock) {
        this.loops = loops;
        this.workers = workers;
        this.clock = clock;
    }

    /**
     * A stage that was made but not opened, with the name of its kind.
     *
     * @param kindName the factory's name
     * @param stage the stage, not opened
     */
    public record Unopened(String kindName, Stage stage) {}

    /**
     * Opens a disk. If a stage fails, those opened before are closed again.
     *
     * @param name the disk's name
     * @param description the chain in words, for people
     * @param stages from the tap down; the last one is the terminator
     */
    public Disk open(String name, String description, List<Unopened> stages) throws StageException {
        if (stages.isEmpty()) {
            throw new StageException((name.isEmpty() ? "the default disk" : "disk '" + name + "'")
                    + " has no stages; a chain needs at least a terminator");
        }
        List<String> names = uniqueNames(stages);
        List<Chain.Link> opened = new ArrayList<>();
        Geometry below = null;
        Resizes resizes = new Resizes();
        Backends backends = new Backends();
        EventLoop home = loops.group().next();
        for (int i = stages.size() - 1; i >= 0; i--) {
            Stage stage = stages.get(i).stage();
            try {
                below = stage.open(
                        new StageContext(
                                name,
                                names.get(i),
                                workers,
                                clock,
                                loops.group(),
                                home,
                                resizes.of(stage),
                                backends,
                                isOnlyRead(stages, i),
                                below(opened)),
                        below);
            } catch (Throwable e) {
                resizes.fail();
                closeAll(opened);
                throw e;
            }
            opened.add(0, new Chain.Link(names.get(i), stage, below));
        }
        Disk disk = new Disk(name, description, new Chain(opened), loops, home, workers, resizes, backends);
        resizes.begin(disk);
        backends.begin(disk);
        return disk;
    }

    private static @Nullable Stage below(List<Chain.Link> opened) {
        for (Chain.Link link : opened) {
            if (!link.stage().isTransparent()) {
                return link.stage();
            }
        }
        return null;
    }

    private static boolean isOnlyRead(List<Unopened> stages, int position) {
        return stages.subList(0, position).stream()
                .anyMatch(above -> above.stage().onlyReadsBelow());
    }

    private static List<String> uniqueNames(List<Unopened> stages) {
        Map<String, Integer> seen = new HashMap<>();
        return stages.stream()
                .map(stage -> {
                    int count = seen.merge(stage.kindName(), 1, Integer::sum);
                    return count == 1 ? stage.kindName() : stage.kindName() + "#" + count;
                })
                .toList();
    }

    private static void closeAll(List<Chain.Link> opened) {
        for (Chain.Link link : opened) {
            try {
                link.stage().close();
            } catch (Throwable e) {
                Logs.DISK.error("closing {} after a failed start: {}", link.name(), e.getMessage());
            }
        }
    }
}
