package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.Verdict;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A disk that outlives its server, with a cache of its own that a flush makes stable. It knows which of the guest's requests each change belongs to, and fails the test when one
 * is done after its answer, or against the order of a barrier. What is held back is done later, or, when the server is killed, perhaps. Threads: the loop.
 */
final class TableDisk implements Stage, RequestHook {
    final Feature[] features;
    private final Random random;
    private final Runnable step;
    byte[] bytes = new byte[TableGuest.DISK_SECTORS * 512];

    /** The guest's writes that are in {@link #bytes}, by id; and those of them that no loss of power can undo. */
    Set<Long> done = new HashSet<>();

    Set<Long> stable = new HashSet<>();

    /** Held back and not done yet: a copy, for the request may be gone when the kernel does it. */
    record Held(BlockRequest request, BlockOp op, int offset, byte[] data, boolean isFua) {}

    List<Held> held = new ArrayList<>();
    /** One in how many requests is held back; 0: none. */
    int holdsOneIn = 3;

    @Nullable
    BlockStatus failFlushes;

    /** The server was killed, and what it does now is undone. */
    BooleanSupplier isDead = () -> false;

    TableGuest guest;

    @Nullable
    Throwable complaint;

    TableDisk(Random random, Runnable step, Feature... features) {
        this.random = random;
        this.step = step;
        this.features = features;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) {
        return Geometry.ofSize(bytes.length, features);
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        step.run();
        BlockStatus failure = failFlushes;
        if (request.op() == BlockOp.FLUSH && failure != null) {
            return request.respond(failure);
        }
        byte[] data = new byte[request.op() == BlockOp.WRITE ? request.dataLength() : (int) request.lengthBytes()];
        if (request.op() == BlockOp.WRITE) {
            request.data().getBytes(0, data);
        }
        Held its = new Held(request, request.op(), (int) request.offsetBytes(), data, request.isFua());
        checkOrder(its);
        if (holdsOneIn > 0 && random.nextInt(holdsOneIn) == 0) {
            held.add(its);
            step.run();
            return Verdict.STOLEN;
        }
        carryOut(its, data.length);
        step.run();
        return request.respond(BlockStatus.OK);
    }

    void holdAll() {
        holdsOneIn = 1;
    }

    /** Returns what is held, oldest first. */
    List<String> held() {
        return held.stream().map(each -> each.op.toString()).toList();
    }

    /** Carries out and answers some of what is held. */
    void complete(int count) {
        for (int i = 0; i < count && !held.isEmpty(); i++) {
            complete(held.remove(random.nextInt(held.size())));
        }
    }

    void completeOldest() {
        complete(held.remove(0));
    }

    private void complete(Held its) {
        carryOut(its, its.data.length);
        its.request.complete(BlockStatus.OK);
    }

    private void carryOut(Held its, int length) {
        switch (its.op) {
            case READ -> its.request.data().setBytes(0, bytes, its.offset, length);
            case FLUSH -> stable.addAll(done);
            default -> {
                System.arraycopy(its.data, 0, bytes, its.offset, length);
                changed(its, length);
            }
        }
    }

    private void changed(Held its, int length) {
        TableGuest.Asked asked = whose(its);
        if (asked != null && length == its.data.length) {
            done.add(asked.id());
            stable.remove(asked.id());
            if (its.isFua) {
                stable.add(asked.id());
            }
        }
    }

    private TableGuest.@Nullable Asked whose(Held its) {
        return guest.waiting.values().stream()
                .filter(each -> each.writes() && each.overlaps(its.offset / 512, its.data.length / 512))
                .findFirst()
                .orElse(null);
    }

    /** A change must belong to a request without an answer, come after every barrier before it, and, as a barrier, after all before it. */
    private void checkOrder(Held its) {
        if (its.op == BlockOp.READ || its.op == BlockOp.FLUSH || isDead.getAsBoolean()) {
            return;
        }
        try {
            TableGuest.Asked asked = whose(its);
            assertThat(asked)
                    .as("request that changes the disk at %d", its.offset)
                    .isNotNull();
            assertThat(guest.answered).as("answered").doesNotContain(asked.id());
            assertThat(its.data).as("what %d changes", asked.id()).isEqualTo(asked.data());
            if (asked.isBarrier()) {
                assertThat(stable).as("stable before barrier %d", asked.id()).containsAll(asked.acknowledged());
            }
            for (TableGuest.Asked other : guest.waiting.values()) {
                if (!other.writes() || guest.answered.contains(other.id())) {
                    continue;
                }
                if (other.id() < asked.id() && asked.isBarrier()) {
                    assertThat(stable)
                            .as("stable before barrier %d", asked.id())
                            .contains(other.id());
                }
                if (other.id() < asked.id() && other.isBarrier()) {
                    assertThat(done).as("done before %d", asked.id()).contains(other.id());
                }
            }
        } catch (AssertionError e) {
            complaint = complaint == null ? e : complaint;
        }
    }

    /** The server was killed with this in the kernel: each is done, done in part, or not done. */
    void afterlife(List<Held> pending) {
        for (Held its : pending) {
            if (its.op == BlockOp.WRITE || its.op == BlockOp.DISCARD) {
                int sectors = its.data.length / 512;
                carryOut(its, random.nextBoolean() ? its.data.length : random.nextInt(sectors + 1) * 512);
            }
        }
    }

    /** The requests that a killed server held: its memory is gone, ours is not. */
    void forget() {
        held.forEach(each -> each.request.complete(BlockStatus.OK));
        held.clear();
    }

    @Override
    public void close() {}
}
