package io.blocktap.launcher;

import com.sun.management.OperatingSystemMXBean;
import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadInfo;
import org.jspecify.annotations.Nullable;

/** What the server's process spends while a driving process measures: CPU time in all, and garbage on its event loops. */
final class ServerCost {
    private long cpuNanos;
    private long loopBytes;

    /** Notes the start. */
    void begin() {
        cpuNanos = cpuNow();
        loopBytes = allocatedNow();
    }

    /** Notes the end: the differences stay. */
    void end() {
        cpuNanos = cpuNow() - cpuNanos;
        loopBytes = allocatedNow() - loopBytes;
    }

    double cpuMicros() {
        return cpuNanos / 1e3;
    }

    long loopBytes() {
        return loopBytes;
    }

    /** All threads: event loops, workers, and what the JVM compiles and collects meanwhile. */
    private static long cpuNow() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static long allocatedNow() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long sum = 0;
        for (@Nullable ThreadInfo thread : threads.getThreadInfo(threads.getAllThreadIds())) {
            if (thread != null && thread.getThreadName().startsWith("blocktap-loop-")) {
                sum += threads.getThreadAllocatedBytes(thread.getThreadId());
            }
        }
        return sum;
    }
}
