package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdLoginReply;
import io.netty.buffer.ByteBufUtil;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * A recorded conversation with an original server, and the playing of its client's part to another one.
 *
 * <p>A line begins with who speaks, C or S, and the number of the connection. Behind it stand bytes or an event. Lines of one speaker up to one that begins with a dot
 * are one chunk; M lines are a mask of the bytes that count in the chunk before them.
 */
final class GnbdTrace {
    private static final int SECTORS = 2048;
    private static final int SECTOR = 512;
    private static final int TIMEOUT_MILLIS = 3000;

    /** One chunk or event. */
    private static final class Event {
        final String tag;
        final String text;
        final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        final ByteArrayOutputStream mask = new ByteArrayOutputStream();

        Event(String tag, String text) {
            this.tag = tag;
            this.text = text;
        }

        boolean isClients() {
            return tag.charAt(0) == 'C';
        }

        byte[] masked(byte[] received) {
            byte[] result = received.clone();
            byte[] bits = mask.toByteArray();
            for (int i = 0; i < Math.min(result.length, bits.length); i++) {
                result[i] &= bits[i];
            }
            return result;
        }
    }

    private final List<Event> events = new ArrayList<>();

    /** Reads a trace of the tests' resources. */
    static GnbdTrace load(String name) throws IOException {
        try (InputStream in = GnbdTrace.class.getResourceAsStream("traces/" + name + ".txt")) {
            return new GnbdTrace(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        }
    }

    private GnbdTrace(String text) {
        Event open = null;
        for (String line : text.split("\n")) {
            if (line.isEmpty() || line.startsWith("#")) {
                continue;
            }
            String tag = line.substring(0, line.indexOf(' '));
            String rest = line.substring(tag.length() + 1).trim();
            if (tag.equals(".")) {
                maskLoginReply();
                open = null;
            } else if (tag.equals("M")) {
                last().mask.writeBytes(hex(rest));
            } else if (!rest.matches("[0-9a-f]{2}( [0-9a-f]{2})*")) {
                events.add(new Event(tag, rest));
                open = null;
            } else {
                if (open == null || !open.tag.equals(tag)) {
                    open = new Event(tag, "");
                    events.add(open);
                }
                open.bytes.writeBytes(hex(rest));
            }
        }
    }

    /** Recordings made by a proxy have no masks: an answer to LOGIN ends in undefined bytes, and begins with them if it is a refusal. */
    private void maskLoginReply() {
        Event reply = last();
        boolean isReply = !reply.isClients() && reply.bytes.size() == GnbdLoginReply.BYTES && events.size() > 1;
        if (isReply && events.get(events.size() - 2).bytes.size() >= GnbdControl.MAX_BYTES - Integer.BYTES) {
            boolean isRefusal = reply.bytes.toByteArray()[10] != 0;
            reply.mask.writeBytes(hex((isRefusal ? "00" : "ff").repeat(8) + "ffffff" + "00".repeat(5)));
        }
    }

    private Event last() {
        return events.get(events.size() - 1);
    }

    private static byte[] hex(String text) {
        return ByteBufUtil.decodeHexDump(text.replace(" ", ""));
    }

    /** Returns the content of a fresh image: each sector begins with its number. */
    static byte[] image() {
        ByteBuffer image = ByteBuffer.allocate(SECTORS * SECTOR);
        for (long sector = 0; sector < SECTORS; sector++) {
            image.putLong(sector);
            for (int i = 0; i < SECTOR - Long.BYTES; i++) {
                image.put((byte) (7 * sector + i));
            }
        }
        return image.array();
    }

    // ---- playing

    /**
     * Plays the client's part.
     *
     * @return how the server's part differs from what was recorded; empty if it does not
     */
    String play(int port) throws IOException {
        Map<String, Socket> sockets = new HashMap<>();
        try {
            for (Event event : events) {
                String difference =
                        event.isClients() ? say(event, sockets, port) : hear(event, sockets.get(connection(event)));
                if (!difference.isEmpty()) {
                    return difference;
                }
            }
            return "";
        } finally {
            for (Socket socket : sockets.values()) {
                socket.close();
            }
        }
    }

    private static String connection(Event event) {
        return event.tag.substring(1);
    }

    private static String say(Event event, Map<String, Socket> sockets, int port) throws IOException {
        if (event.text.equals("CONNECT")) {
            Socket socket = new Socket("127.0.0.1", port);
            socket.setTcpNoDelay(true);
            sockets.put(connection(event), socket);
            return "";
        }
        Socket socket = sockets.get(connection(event));
        switch (event.text) {
            case "CLOSE", "EOF" -> socket.close();
            case "SHUTDOWN-WRITE" -> socket.shutdownOutput();
            default -> {
                try {
                    socket.getOutputStream().write(event.bytes.toByteArray());
                } catch (IOException e) {
                    return ""; // what was recorded next tells whether the server may have closed
                }
            }
        }
        return "";
    }

    private static String hear(Event event, Socket socket) throws IOException {
        if (socket.isClosed()) {
            return ""; // a recording proxy lists the two ends of a connection in either order
        }
        String[] words = event.text.split(" ");
        switch (words[0]) {
            case "EOF", "RESET" -> {
                Heard heard = receive(socket, 1, TIMEOUT_MILLIS);
                return heard.bytes.length == 0 && heard.end.equals("closed") ? "" : "expected a close, got " + heard;
            }
            case "SILENT" -> {
                int millis = (int) (1000 * Double.parseDouble(words[1].replace("s", "")));
                Heard heard = receive(socket, 1, millis);
                return heard.bytes.length == 0 && heard.end.equals("silent") ? "" : "expected silence, got " + heard;
            }
            case "IMAGE" -> {
                int from = Integer.parseInt(words[1]);
                int length = Integer.parseInt(words[2]);
                Heard heard = receive(socket, length, TIMEOUT_MILLIS);
                byte[] expected = Arrays.copyOfRange(image(), from, from + length);
                return Arrays.equals(heard.bytes, expected) ? "" : "other data than the image's";
            }
            default -> {
                byte[] expected = event.bytes.toByteArray();
                Heard heard = receive(socket, expected.length, TIMEOUT_MILLIS);
                boolean isEqual = Arrays.equals(event.masked(heard.bytes), event.masked(expected));
                return isEqual ? "" : "expected " + ByteBufUtil.hexDump(expected) + ", got " + heard;
            }
        }
    }

    /** What came, and why not more: silent, closed, or nothing more was wanted. */
    private record Heard(byte[] bytes, String end) {
        @Override
        public String toString() {
            return (ByteBufUtil.hexDump(bytes) + " " + end).trim().toLowerCase(Locale.ROOT);
        }
    }

    private static Heard receive(Socket socket, int length, int millis) throws IOException {
        byte[] bytes = new byte[length];
        int done = 0;
        socket.setSoTimeout(millis);
        try {
            while (done < length) {
                int count = socket.getInputStream().read(bytes, done, length - done);
                if (count < 0) {
                    return new Heard(Arrays.copyOf(bytes, done), "closed");
                }
                done += count;
            }
            return new Heard(bytes, "");
        } catch (SocketTimeoutException e) {
            return new Heard(Arrays.copyOf(bytes, done), "silent");
        } catch (IOException e) {
            return new Heard(Arrays.copyOf(bytes, done), "closed");
        }
    }
}
