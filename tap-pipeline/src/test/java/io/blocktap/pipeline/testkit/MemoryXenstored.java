package io.blocktap.pipeline.testkit;

import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A small xenstored for tests: nodes in memory behind a unix socket, with transactions (one at a time wins), watches and inherited permissions. One connection. The
 * test reads and writes beside it, and plays the server and the guest in a listener that hears of every change.
 */
public final class MemoryXenstored implements AutoCloseable {
    private static final int DIRECTORY = 1;
    private static final int READ = 2;
    private static final int GET_PERMS = 3;
    private static final int WATCH = 4;
    private static final int UNWATCH = 5;
    private static final int TRANSACTION_START = 6;
    private static final int TRANSACTION_END = 7;
    private static final int WRITE = 11;
    private static final int MKDIR = 12;
    private static final int RM = 13;
    private static final int SET_PERMS = 14;
    private static final int WATCH_EVENT = 15;
    private static final int ERROR = 16;
    private static final int IS_DOMAIN_INTRODUCED = 17;

    private record Node(String value, List<String> permissions) {}

    private record Watched(String path, String token) {}

    private record Run(Map<String, Node> nodes, Set<String> changed) {}

    private final ServerSocketChannel server;
    private final Thread thread;
    private TreeMap<String, Node> nodes = new TreeMap<>();
    private final Map<Integer, Run> runs = new HashMap<>();
    private final List<Watched> watches = new ArrayList<>();
    private SocketChannel connection;
    private int lastRun;
    private Consumer<String> listener = path -> {};

    /** Listens. */
    public MemoryXenstored(Path socket) throws IOException {
        nodes.put("", new Node("", List.of("n0")));
        server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(socket));
        thread = new Thread(this::serve, "xenstored");
        thread.setDaemon(true);
        thread.start();
    }

    // ---- for the test

    /** Is told of each changed path after it has changed, on the store's thread or the test's. */
    public synchronized void onChange(Consumer<String> newListener) {
        listener = newListener;
    }

    /** Writes a node, with those above it if they are not there. */
    public synchronized MemoryXenstored set(String path, String value) {
        put(nodes, path, value);
        changed(Set.of(path));
        return this;
    }

    /** Returns a node's value, or null if there is none. */
    public synchronized @Nullable String get(String path) {
        Node node = nodes.get(path);
        return node == null ? null : node.value();
    }

    /** Returns a node's permissions, as xenstore writes them. */
    public synchronized List<String> permissions(String path) {
        return nodes.get(path).permissions();
    }

    /** Returns every node below a path, as "name=value" lines without the path. */
    public synchronized List<String> below(String path) {
        List<String> found = new ArrayList<>();
        nodes.forEach((name, node) -> {
            if (name.startsWith(path + "/")) {
                found.add(name.substring(path.length() + 1) + "=" + node.value());
            }
        });
        return found;
    }

    // ---- the wire

    private void serve() {
        while (server.isOpen()) {
            try (SocketChannel accepted = server.accept()) {
                connection = accepted;
                while (true) {
                    answerNext();
                }
            } catch (IOException e) {
                synchronized (this) {
                    watches.clear();
                }
            }
        }
    }

    private void answerNext() throws IOException {
        ByteBuffer header = read(16);
        int type = header.getInt(0);
        int request = header.getInt(4);
        int run = header.getInt(8);
        String text = StandardCharsets.UTF_8.decode(read(header.getInt(12))).toString();
        synchronized (this) {
            Set<String> changed = new TreeSet<>();
            String reply;
            int replyType = type;
            try {
                reply = answer(type, run, text, changed);
            } catch (IllegalStateException e) {
                reply = e.getMessage() + "\0";
                replyType = ERROR;
            }
            send(replyType, request, run, reply);
            if (type == WATCH && replyType == WATCH) {
                send(WATCH_EVENT, 0, 0, text);
            }
            changed(changed);
        }
    }

    private String answer(int type, int run, String text, Set<String> changed) {
        String[] words = text.split("\0", -1);
        String path = absolute(words[0]);
        Map<String, Node> view = run == 0 ? nodes : runs.get(run).nodes();
        Set<String> touched = run == 0 ? changed : runs.get(run).changed();
        switch (type) {
            case DIRECTORY:
                node(view, path);
                StringBuilder names = new StringBuilder();
                for (String each : view.keySet()) {
                    if (each.startsWith(path + "/") && each.indexOf('/', path.length() + 1) < 0) {
                        names.append(each.substring(path.length() + 1)).append('\0');
                    }
                }
                return names.toString();
            case READ:
                return node(view, path).value();
            case GET_PERMS:
                return String.join("\0", node(view, path).permissions()) + "\0";
            case WATCH:
                watches.add(new Watched(words[0], words[1]));
                return "OK\0";
            case UNWATCH:
                watches.remove(new Watched(words[0], words[1]));
                return "OK\0";
            case TRANSACTION_START:
                runs.put(++lastRun, new Run(new TreeMap<>(nodes), new TreeSet<>()));
                return lastRun + "\0";
            case TRANSACTION_END:
                Run ended = runs.remove(run);
                if (words[0].equals("T")) {
                    nodes = new TreeMap<>(ended.nodes());
                    changed.addAll(ended.changed());
                }
                return "OK\0";
            case WRITE:
                put(view, path, words[1]);
                touched.add(path);
                return "OK\0";
            case MKDIR:
                if (!view.containsKey(path)) {
                    put(view, path, "");
                    touched.add(path);
                }
                return "OK\0";
            case RM:
                node(view, path.substring(0, path.lastIndexOf('/')));
                view.keySet().removeIf(each -> each.equals(path) || each.startsWith(path + "/"));
                touched.add(path);
                return "OK\0";
            case SET_PERMS:
                view.put(path, new Node(node(view, path).value(), List.of(words).subList(1, words.length - 1)));
                touched.add(path);
                return "OK\0";
            case IS_DOMAIN_INTRODUCED:
                return (nodes.containsKey("/local/domain/" + words[0]) ? "T" : "F") + "\0";
            default:
                throw new IllegalStateException("ENOSYS");
        }
    }

    private static String absolute(String path) {
        return path.startsWith("/") ? path : "/local/domain/0/" + path;
    }

    private static Node node(Map<String, Node> view, String path) {
        Node node = view.get(path);
        if (node == null) {
            throw new IllegalStateException("ENOENT");
        }
        return node;
    }

    private static void put(Map<String, Node> view, String path, String value) {
        String parent = path.substring(0, path.lastIndexOf('/'));
        if (!view.containsKey(parent)) {
            put(view, parent, "");
        }
        Node old = view.get(path);
        view.put(path, new Node(value, (old == null ? node(view, parent) : old).permissions()));
    }

    private void changed(Set<String> paths) {
        for (String path : paths) {
            for (Watched watch : List.copyOf(watches)) {
                if ((path + "/").startsWith(watch.path() + "/") || watch.path().startsWith(path + "/")) {
                    try {
                        send(WATCH_EVENT, 0, 0, path + "\0" + watch.token() + "\0");
                    } catch (IOException e) {
                        watches.remove(watch);
                    }
                }
            }
            listener.accept(path);
        }
    }

    private ByteBuffer read(int bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(bytes).order(ByteOrder.nativeOrder());
        while (buffer.hasRemaining()) {
            if (connection.read(buffer) < 0) {
                throw new EOFException();
            }
        }
        return buffer.flip();
    }

    private void send(int type, int request, int run, String payload) throws IOException {
        byte[] bytes = payload.getBytes(StandardCharsets.UTF_8);
        ByteBuffer message = ByteBuffer.allocate(16 + bytes.length).order(ByteOrder.nativeOrder());
        message.putInt(type)
                .putInt(request)
                .putInt(run)
                .putInt(bytes.length)
                .put(bytes)
                .flip();
        while (message.hasRemaining()) {
            connection.write(message);
        }
    }

    @Override
    public void close() throws IOException {
        server.close();
        if (connection != null) {
            connection.close();
        }
    }
}
