package io.blocktap.it.lab;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Counts the system calls of a process on Xen's devices, by strace, from its making to {@link #stop}. */
final class SystemCalls {
    private static final Pattern CALL =
            Pattern.compile("(ioctl|read|write)\\(\\d+</dev/xen/([a-z]+)[^>]*>(?:, ([A-Z_]+(?:\\([^)]*\\))?))?.*");
    private static final Map<String, String> REQUESTS = Map.of(
            "_IOC(_IOC_NONE, 0x45, 0x4, 0x4)", "NOTIFY",
            "_IOC(_IOC_NONE, 0x47, 0x8, 0x10)", "GRANT_COPY");

    private final Path trace = Files.createTempFile("strace", ".txt");
    private final Process strace;
    private final Map<String, Integer> counts = new TreeMap<>();
    private int ioctls;
    private int unmaskings;
    private int notifications;

    SystemCalls(long pid) throws IOException {
        strace = new ProcessBuilder(
                        "strace",
                        "-f",
                        "-y",
                        "-e",
                        "trace=ioctl,read,write",
                        "-e",
                        "signal=none",
                        "-o",
                        trace.toString(),
                        "-p",
                        Long.toString(pid))
                .redirectErrorStream(true)
                .start();
        BufferedReader said =
                new BufferedReader(new InputStreamReader(strace.getInputStream(), StandardCharsets.UTF_8));
        String line = said.readLine();
        if (line == null || !line.contains("attached")) {
            throw new IOException("strace says '" + line + "'");
        }
    }

    /** Lets go of the process, and counts. */
    void stop() throws Exception {
        strace.destroy();
        if (!strace.waitFor(30, TimeUnit.SECONDS)) {
            throw new IOException("strace does not end");
        }
        for (String line : Files.readAllLines(trace)) {
            Matcher matcher = CALL.matcher(line.replaceFirst("^\\d+ +", ""));
            if (matcher.matches()) {
                count(matcher.group(1), matcher.group(2), matcher.group(3));
            }
        }
        Files.delete(trace);
    }

    private void count(String call, String device, String request) {
        if (device.equals("xenbus")) {
            return;
        }
        boolean isIoctl = call.equals("ioctl");
        ioctls += isIoctl ? 1 : 0;
        unmaskings += call.equals("write") && device.equals("evtchn") ? 1 : 0;
        String name = isIoctl ? REQUESTS.getOrDefault(String.valueOf(request), String.valueOf(request)) : call;
        notifications += name.endsWith("NOTIFY") ? 1 : 0;
        counts.merge(device + " " + name, 1, Integer::sum);
    }

    /** A turn of a ring ends with one notification if there were answers. Several turns may come before the write that unmasks the ports; without answers there is only that. */
    private int turns() {
        return Math.max(1, Math.max(unmaskings, notifications));
    }

    double ioctlsPerTurn() {
        return (double) ioctls / turns();
    }

    String tell(int requests) {
        return String.format(
                Locale.ROOT,
                "%d turns, %.2f ioctls a turn, %.3f a request; %s",
                turns(),
                ioctlsPerTurn(),
                (double) ioctls / requests,
                counts);
    }
}
