package io.blocktap.transport.xen;

import io.blocktap.transport.ring.BlkifLayout;
import java.util.List;

/**
 * A ring as a frontend has published it in xenstore: hostile numbers, checked for their form only.
 *
 * @param grefs grant references of its pages, 1 to 16 of them
 * @param eventChannel the port that the frontend offers
 * @param layout how its slots are laid out
 */
public record XenRing(List<Integer> grefs, int eventChannel, BlkifLayout layout) {
    /** Copies the list. */
    public XenRing {
        grefs = List.copyOf(grefs);
    }
}
