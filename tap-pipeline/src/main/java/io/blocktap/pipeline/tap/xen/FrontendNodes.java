package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.StageException;
import io.blocktap.transport.Printable;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.xen.XenRing;
import io.blocktap.transport.xen.store.XenStoreNodes;
import io.blocktap.transport.xen.store.XenStorePath;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * Reads what a frontend has published about its rings. The guest can write there what it likes: every number is checked, and none is believed further than that.
 *
 * <p>Source: Xen {@code io/blkif.h}, "Frontend XenBus Nodes". Order 0 or no order: {@code ring-ref}, or {@code ring-ref0}, which newer Windows frontends write. No {@code
 * protocol}: x86_32, by history.
 */
final class FrontendNodes {
    static final int MAX_PAGE_ORDER = 4;

    private FrontendNodes() {}

    /** Reads all rings, in the order of the queues. */
    static CompletableFuture<List<XenRing>> read(XenStoreNodes store, XenStorePath frontend, int maxQueues) {
        CompletableFuture<Optional<String>> protocol = store.readIfPresent(frontend.child("protocol"));
        CompletableFuture<Optional<String>> order = store.readIfPresent(frontend.child("ring-page-order"));
        CompletableFuture<Optional<String>> queues = store.readIfPresent(frontend.child("multi-queue-num-queues"));
        return CompletableFuture.allOf(protocol, order, queues).thenCompose(ok -> {
            BlkifLayout layout = layout(protocol.join());
            int pages = 1 << number("ring-page-order", order.join().orElse("0"), 0, MAX_PAGE_ORDER);
            int count = number("multi-queue-num-queues", queues.join().orElse("1"), 1, maxQueues);
            List<CompletableFuture<XenRing>> rings = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                rings.add(ring(store, count == 1 ? frontend : frontend.child("queue-" + i), pages, layout));
            }
            return all(rings);
        });
    }

    private static CompletableFuture<XenRing> ring(
            XenStoreNodes store, XenStorePath path, int pages, BlkifLayout layout) {
        CompletableFuture<Optional<String>> channel = store.readIfPresent(path.child("event-channel"));
        CompletableFuture<Optional<String>> plain = store.readIfPresent(path.child("ring-ref"));
        List<CompletableFuture<Optional<String>>> numbered = new ArrayList<>();
        for (int i = 0; i < pages; i++) {
            numbered.add(store.readIfPresent(path.child("ring-ref" + i)));
        }
        return CompletableFuture.allOf(channel, plain, all(numbered)).thenApply(ok -> {
            List<Integer> grefs = new ArrayList<>();
            for (int i = 0; i < pages; i++) {
                Optional<String> node = numbered.get(i).join();
                if (pages == 1 && plain.join().isPresent()) {
                    node = plain.join();
                }
                grefs.add(number("ring-ref" + (pages == 1 ? "" : i), node.orElse(""), 0, 0xffff_ffffL));
            }
            int port = number("event-channel", channel.join().orElse(""), 1, Integer.MAX_VALUE);
            return new XenRing(grefs, port, layout);
        });
    }

    private static BlkifLayout layout(Optional<String> protocol) {
        return switch (protocol.orElse("x86_32-abi")) {
            case "x86_64-abi", "arm-abi" -> BlkifLayout.X86_64;
            case "x86_32-abi" -> BlkifLayout.X86_32;
            default -> throw wrong("protocol", protocol.orElse(""));
        };
    }

    private static int number(String node, String text, long least, long most) {
        try {
            long number = Long.parseLong(text.strip());
            if (number >= least && number <= most) {
                return (int) number;
            }
        } catch (NumberFormatException e) {
            // told below
        }
        throw wrong(node, text);
    }

    private static CompletionException wrong(String node, String text) {
        return new CompletionException(new StageException("the frontend's " + node + " is "
                + (text.isEmpty() ? "missing" : "'" + Printable.of(text) + "', which is wrong")));
    }

    static <T> CompletableFuture<List<T>> all(List<CompletableFuture<T>> futures) {
        return CompletableFuture.allOf(futures.toArray(CompletableFuture[]::new))
                .thenApply(ok -> futures.stream().map(CompletableFuture::join).toList());
    }
}
