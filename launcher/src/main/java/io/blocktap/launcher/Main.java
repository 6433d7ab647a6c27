package io.blocktap.launcher;

/** Where the program starts. */
public final class Main {
    private Main() {}

    /** Prints the version; there is nothing else yet. */
    public static void main(String[] arguments) {
        String version = Main.class.getPackage().getImplementationVersion();
        System.out.println("blocktap " + (version == null ? "(unpackaged)" : version));
    }
}
