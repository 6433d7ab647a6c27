package io.blocktap.pipeline;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The hooks of a disk at one moment: an immutable list. A request goes down and comes up the chain that it started with, even if a
 * stage was added or removed meanwhile; so it meets on the way up exactly the stages that saw it on the way down.
 */
final class Chain {
    /** The chain of requests that are not on their way. */
    static final Chain EMPTY = new Chain(List.of());

    /**
     * A stage with its name in the chain.
     *
     * @param name unique in the chain
     * @param stage the opened stage
     * @param geometry what it offers upwards
     */
    record Link(String name, Stage stage, Geometry geometry) {
        Link resized(long sizeBytes) {
            return new Link(name, stage, geometry.withSizeBytes(sizeBytes));
        }
    }

    private final List<Link> links;
    private final String[] names;
    private final @Nullable RequestHook[] requestHooks;
    private final @Nullable ResponseHook[] responseHooks;
    private final Admission[] admissions;

    Chain(List<Link> links) {
        this.links = List.copyOf(links);
        int length = links.size();
        names = new String[length];
        requestHooks = new RequestHook[length];
        responseHooks = new ResponseHook[length];
        admissions = new Admission[length];
        for (int i = 0; i < length; i++) {
            names[i] = links.get(i).name();
            admissions[i] = new Admission(links.get(i).geometry());
            Stage stage = links.get(i).stage();
            requestHooks[i] = stage instanceof RequestHook hook ? hook : null;
            responseHooks[i] = stage instanceof ResponseHook hook ? hook : null;
        }
    }

    int length() {
        return names.length;
    }

    String name(int position) {
        return names[position];
    }

    @Nullable
    RequestHook requestHook(int position) {
        return requestHooks[position];
    }

    /** Returns the checks of what the stage at a position offers. */
    Admission admission(int position) {
        return admissions[position];
    }

    @Nullable
    ResponseHook responseHook(int position) {
        return responseHooks[position];
    }

    List<Link> links() {
        return links;
    }

    /** Returns the position of the named stage, or -1. */
    int find(String name) {
        return List.of(names).indexOf(name);
    }

    /** Returns the position of a stage, or -1. */
    int find(Stage stage) {
        for (int i = 0; i < links.size(); i++) {
            if (links.get(i).stage() == stage) {
                return i;
            }
        }
        return -1;
    }

    /** Returns what the chain offers to frontends. */
    Geometry geometry() {
        return links.get(0).geometry();
    }

    /** Returns the chain as it is when a stage has another size and those above it were asked. On the disk's home loop. */
    Chain resized(int position, long sizeBytes) {
        List<Link> changed = new ArrayList<>(links);
        Link below = links.get(position).resized(sizeBytes);
        changed.set(position, below);
        for (int i = position - 1; i >= 0; i--) {
            Link link = links.get(i);
            Geometry belowWas = links.get(i + 1).geometry();
            if (below.geometry().equals(belowWas)) {
                break; // nothing changes from here up
            }
            below = link.resized(link.stage().belowResized(link.geometry(), belowWas, below.geometry()));
            changed.set(i, below);
        }
        return new Chain(changed);
    }

    Chain with(int position, Link link) {
        List<Link> changed = new ArrayList<>(links);
        changed.add(position, link);
        return new Chain(changed);
    }

    Chain without(int position) {
        List<Link> changed = new ArrayList<>(links);
        changed.remove(position);
        return new Chain(changed);
    }

    /** Runs a control message down the hooks, from position {@code from}. */
    void control(ControlMessage message) throws RefusedException {
        for (int i = 0; i < links.size(); i++) {
            if (links.get(i).stage() instanceof ControlHook hook) {
                try {
                    hook.onControl(message);
                } catch (RefusedException e) {
                    if (message.refusable()) {
                        withdraw(message, i);
                        throw new RefusedException(names[i] + " refuses: " + e.getMessage());
                    }
                    Logs.CHAIN.warn("{} can not refuse {}: {}", names[i], message.name(), e.getMessage());
                } catch (Throwable e) {
                    // An Error, too: a plugin that was built against something else must not cost others their flush.
                    Logs.CHAIN.error("{}: control hook failed on {}", names[i], message.name(), e);
                    if (message.refusable()) {
                        withdraw(message, i);
                        throw new RefusedException(names[i] + " failed: " + e);
                    }
                }
            }
        }
    }

    /** Tells the hooks above a position that a message which they have accepted was refused. */
    void withdraw(ControlMessage message, int refusedAt) {
        ControlMessage withdrawn = new ControlMessage.Withdrawn(message);
        for (int i = refusedAt - 1; i >= 0; i--) {
            if (links.get(i).stage() instanceof ControlHook hook) {
                try {
                    hook.onControl(withdrawn);
                } catch (Throwable e) {
                    Logs.CHAIN.error("{}: control hook failed on withdrawal of {}", names[i], message.name(), e);
                }
            }
        }
    }

    /** Returns {@code a -> b -> c}. */
    String describe() {
        return String.join(" -> ", names);
    }
}
