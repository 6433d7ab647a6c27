package io.blocktap.launcher.server;

import io.blocktap.pipeline.config.ConfigException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * What a server is going to be, checked but with nothing opened. Its stages are made: a plan is started once.
 *
 * @param settings of the server
 * @param catalog what chains can be made of at run time
 * @param taps at least one
 * @param disks with different names; at least one, unless a tap has chains opened
 */
record ServerPlan(
        ServerSettings settings,
        StageCatalog catalog,
        List<ChainResolver.ResolvedTap> taps,
        List<ChainResolver.ResolvedDisk> disks) {
    /** NBD's limit of an export's name (proto.md); a longer one would make a list of exports useless. */
    private static final int MOST_NAME_BYTES = 4096;

    /**
     * Checks everything, and tells all mistakes at once, one a line.
     *
     * @throws ConfigException if there is at least one mistake
     */
    static ServerPlan make(
            ServerSettings settings, StageCatalog catalog, List<DiskSpec.Word> tapWords, List<DiskSpec> diskSpecs)
            throws ConfigException {
        ChainResolver resolver = new ChainResolver(catalog);
        List<ChainResolver.ResolvedTap> taps = new ArrayList<>();
        tapWords.forEach(word -> resolver.tap(word).ifPresent(taps::add));
        if (tapWords.isEmpty()) {
            resolver.mistake(
                    "",
                    "no tap: nobody could connect; give one by --tap (in a file: taps), for example --tap "
                            + (catalog.tap("nbd").isPresent() ? "nbd:unix=/tmp/disk.sock" : "loopback:/tmp/disk.sock"));
        }
        boolean opensChains = taps.stream().anyMatch(tap -> tap.factory().opensChains(tap.values()));
        if (diskSpecs.isEmpty() && !opensChains) {
            resolver.mistake(
                    "", "no disk: give the stages of a chain, for example 'image:disk.img' (in a file: disks)");
        }
        Set<String> names = new TreeSet<>();
        List<ChainResolver.ResolvedDisk> disks = new ArrayList<>();
        for (DiskSpec spec : diskSpecs) {
            if (!names.add(spec.name())) {
                resolver.mistake(spec.where(), "two disks are named '" + spec.name() + "'; names must differ");
            }
            if (spec.name().getBytes(StandardCharsets.UTF_8).length > MOST_NAME_BYTES) {
                resolver.mistake(
                        spec.where(),
                        "a disk's name has " + spec.name().length() + " characters; at most " + MOST_NAME_BYTES
                                + " bytes of UTF-8 are possible");
            }
            disks.add(resolver.disk(spec));
        }
        if (!resolver.mistakes().isEmpty()) {
            throw new ConfigException(String.join("\n", resolver.mistakes()));
        }
        return new ServerPlan(settings, catalog, taps, disks);
    }

    /** Returns the plan as maps and lists of text, in the shape of a configuration file. */
    Map<String, Object> describe() {
        Map<String, Object> chains = new LinkedHashMap<>();
        disks.forEach(disk -> chains.put(disk.spec().name(), Map.of("chain", disk.words())));
        Map<String, Object> plan = new LinkedHashMap<>();
        plan.put("server", settings.toMap());
        plan.put("taps", taps.stream().map(ChainResolver.ResolvedTap::word).toList());
        plan.put("disks", chains);
        return plan;
    }
}
