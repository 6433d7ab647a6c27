package io.blocktap.launcher.xen;

import io.blocktap.pipeline.config.ConfigException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The number by which a guest and its host name a virtual disk, and the name by which people do.
 *
 * <p>Source: Xen {@code docs/man/xen-vbd-interface.7}: {@code 202 << 8 | disk << 4 | partition} for the first 16 disks of {@code xvd}, {@code 1 << 28 | disk << 8 | partition} for
 * more, and the numbers of Linux's {@code sd} and {@code hd}.
 *
 * @param number what stands in xenstore
 */
public record VirtualDevice(int number) {
    private static final int XVD = 202 << 8;
    private static final int EXTENDED = 1 << 28;
    private static final int SD = 8 << 8;
    private static final int HD_FIRST = 3 << 8;
    private static final int HD_SECOND = 22 << 8;
    private static final Pattern NAME = Pattern.compile("(xvd|sd|hd)([a-z]{1,4})(\\d{1,3})?");

    /**
     * Reads {@code xvda}, {@code sdb1}, {@code hda} or a number.
     *
     * @throws ConfigException if it is none of them; the message says what would be right
     */
    public static VirtualDevice parse(String text) throws ConfigException {
        Matcher name = NAME.matcher(text);
        int number = -1;
        if (text.matches("\\d{1,9}")) {
            number = Integer.parseInt(text);
        } else if (name.matches()) {
            int disk = 0;
            for (char letter : name.group(2).toCharArray()) {
                disk = disk * 26 + (letter - 'a' + 1);
            }
            int partition = name.group(3) == null ? 0 : Integer.parseInt(name.group(3));
            number = number(name.group(1), disk - 1, partition);
        }
        if (number <= 0) {
            throw new ConfigException(
                    "'" + text
                            + "' is no virtual device; write xvda, xvdb, ... (sda to sdp, hda to hdd), or a device's number such as 51712");
        }
        return new VirtualDevice(number);
    }

    private static int number(String kind, int disk, int partition) {
        return switch (kind) {
            case "xvd" ->
                disk < 16 && partition < 16
                        ? XVD | disk << 4 | partition
                        : disk < 1 << 20 && partition < 256 ? EXTENDED | disk << 8 | partition : -1;
            case "sd" -> disk < 16 && partition < 16 ? SD | disk << 4 | partition : -1;
            default ->
                partition >= 64 || disk > 3
                        ? -1
                        : disk < 2 ? HD_FIRST | disk << 6 | partition : HD_SECOND | (disk - 2) << 6 | partition;
        };
    }

    /** Returns the name, or the number if it has none. */
    public String name() {
        if ((number & EXTENDED) != 0) {
            return "xvd" + letters(number >> 8 & 0xfffff) + partition(number & 0xff);
        }
        int low = number & 0xff;
        return switch (number & ~0xff) {
            case XVD -> "xvd" + letters(low >> 4) + partition(low & 15);
            case SD -> "sd" + letters(low >> 4) + partition(low & 15);
            case HD_FIRST -> low >> 6 < 2 ? "hd" + letters(low >> 6) + partition(low & 63) : Integer.toString(number);
            case HD_SECOND ->
                low >> 6 < 2 ? "hd" + letters(2 + (low >> 6)) + partition(low & 63) : Integer.toString(number);
            default -> Integer.toString(number);
        };
    }

    private static String letters(int disk) {
        StringBuilder letters = new StringBuilder();
        for (int rest = disk + 1; rest > 0; rest = (rest - 1) / 26) {
            letters.insert(0, (char) ('a' + (rest - 1) % 26));
        }
        return letters.toString();
    }

    private static String partition(int partition) {
        return partition == 0 ? "" : Integer.toString(partition);
    }

    @Override
    public String toString() {
        return name();
    }
}
