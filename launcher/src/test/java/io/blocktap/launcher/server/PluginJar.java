package io.blocktap.launcher.server;

import io.blocktap.pipeline.StageFactory;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;

/** Compiles sources apart from the project, against tap-pipeline and its libraries only, and packs them into a jar. */
final class PluginJar {
    private final Map<String, String> sources = new LinkedHashMap<>();
    private final Map<String, String> services = new LinkedHashMap<>();
    private final List<String> leftOut = new ArrayList<>();

    PluginJar source(String className, String text) {
        sources.put(className, text);
        return this;
    }

    PluginJar service(Class<?> type, String className) {
        services.merge(type.getName(), className + "\n", String::concat);
        return this;
    }

    /** Compiles a class, but does not put it into the jar. */
    PluginJar leaveOut(String className) {
        leftOut.add(className);
        return this;
    }

    void write(Path jar) throws IOException {
        Path work = Files.createTempDirectory(jar.getParent(), "plugin-build");
        Path classes = compile(work);
        try (OutputStream file = Files.newOutputStream(jar);
                JarOutputStream out = new JarOutputStream(file);
                Stream<Path> found = Files.walk(classes)) {
            for (Path each : found.filter(Files::isRegularFile).toList()) {
                String name = classes.relativize(each).toString();
                if (leftOut.stream().noneMatch(left -> name.equals(left.replace('.', '/') + ".class"))) {
                    out.putNextEntry(new JarEntry(name));
                    Files.copy(each, out);
                }
            }
            for (Map.Entry<String, String> service : services.entrySet()) {
                out.putNextEntry(new JarEntry("META-INF/services/" + service.getKey()));
                out.write(service.getValue().getBytes(StandardCharsets.UTF_8));
            }
        }
    }

    private Path compile(Path work) throws IOException {
        Path classes = Files.createDirectories(work.resolve("classes"));
        if (sources.isEmpty()) {
            return classes;
        }
        List<String> arguments =
                new ArrayList<>(List.of("-proc:none", "-d", classes.toString(), "-cp", pipelineClassPath()));
        for (Map.Entry<String, String> source : sources.entrySet()) {
            Path file = work.resolve(source.getKey().replace('.', '/') + ".java");
            Files.createDirectories(file.getParent());
            arguments.add(Files.writeString(file, source.getValue()).toString());
        }
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        if (compiler.run(null, null, null, arguments.toArray(String[]::new)) != 0) {
            throw new IOException("the plugin's sources do not compile, see above");
        }
        return classes;
    }

    /** The test's class path without the launcher, the terminators and the interposers. */
    private static String pipelineClassPath() {
        String pipeline = placeOf(StageFactory.class);
        String libraries = Stream.of(System.getProperty("java.class.path").split(":"))
                .filter(entry -> entry.endsWith(".jar"))
                .filter(entry -> !Path.of(entry)
                        .getFileName()
                        .toString()
                        .matches("(terminators|interposers|launcher|blocktap).*"))
                .collect(Collectors.joining(":"));
        return pipeline + ":" + libraries;
    }

    private static String placeOf(Class<?> type) {
        try {
            URI place = type.getProtectionDomain().getCodeSource().getLocation().toURI();
            return Path.of(place).toString();
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
