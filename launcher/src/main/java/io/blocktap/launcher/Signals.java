package io.blocktap.launcher;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.function.Consumer;

/**
 * Catches SIGTERM, SIGINT and SIGHUP, and counts them: a shutdown hook of the JVM runs once and hears nothing of a second signal.
 *
 * <p>The JDK's class for it, {@code sun.misc.Signal} of the module {@code jdk.unsupported}, cannot be named without a warning, so it is
 * called by reflection.
 */
final class Signals {
    private static final List<String> NAMES = List.of("TERM", "INT", "HUP");

    private Signals() {}

    /**
     * Calls the listener, on a thread of the JVM, for each signal that comes from now on.
     *
     * @param listener gets the name: {@code SIGTERM}
     */
    static void onEnd(Consumer<String> listener) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object proxy = Proxy.newProxyInstance(
                    Signals.class.getClassLoader(),
                    new Class<?>[] {handler},
                    (self, method, arguments) -> switch (method.getName()) {
                        case "handle" -> {
                            listener.accept("SIG" + signal.getMethod("getName").invoke(arguments[0]));
                            yield null;
                        }
                        case "equals" -> self == arguments[0];
                        case "hashCode" -> System.identityHashCode(self);
                        default -> "blocktap's signal handler";
                    });
            for (String name : NAMES) {
                signal.getMethod("handle", signal, handler)
                        .invoke(null, signal.getConstructor(String.class).newInstance(name), proxy);
            }
        } catch (InvocationTargetException e) {
            // with -Xrs the JVM leaves signals alone; then they end the process at once
            throw new IllegalStateException("signals can not be caught: " + e.getCause(), e);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("this Java has no sun.misc.Signal (module jdk.unsupported)", e);
        }
    }
}
