package io.blocktap.launcher;

import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdExport;
import io.blocktap.pipeline.codec.gnbd.GnbdProtocolException;
import io.blocktap.transport.Printable;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Lists what a GNBD server exports, by its NAMES command. */
@Command(
        name = "list",
        description =
                "Lists the exports of a GNBD server: name, whether it can be written, timeout in seconds (0: none).",
        footer = {"", "Examples:", "  blocktap gnbd list 127.0.0.1", "  blocktap gnbd list --port 14568 storage1"})
final class GnbdListCommand implements Callable<Integer>, CommonOptions.Holder {
    private static final int TIMEOUT_MILLIS = 10_000;
    private static final String ROW = "%-32s %-10s %7s";

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Parameters(paramLabel = "HOST", description = "The server's name or address.")
    private String host = "";

    @Option(
            names = "--port",
            paramLabel = "PORT",
            defaultValue = "" + Gnbd.DEFAULT_PORT,
            description = "The server's port, default ${DEFAULT-VALUE}.")
    private int port = Gnbd.DEFAULT_PORT;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws FailedException {
        String where = host + " port " + port;
        if (port < 1 || port > 65535) {
            spec.commandLine().getErr().println("blocktap: gnbd list: --port " + port + ": it is 1 to 65535");
            return Main.USAGE;
        }
        List<GnbdExport> exports;
        try {
            exports = ask();
        } catch (EOFException e) {
            throw new FailedException(
                    "gnbd list: " + where + " closed before its list was complete; is it a GNBD server?", e);
        } catch (ConnectException e) {
            throw new FailedException(
                    "gnbd list: " + where
                            + ": connection refused; does the server run, and listen on this port (--port)?",
                    e);
        } catch (IOException | GnbdProtocolException e) {
            String reason = e.getMessage() == null ? e.toString() : e.getMessage();
            throw new FailedException("gnbd list: " + where + ": " + reason, e);
        }
        PrintWriter out = spec.commandLine().getOut();
        out.println(ROW.formatted("EXPORT", "ACCESS", "TIMEOUT"));
        for (GnbdExport export : exports) {
            out.println(ROW.formatted(
                    Printable.of(export.name()),
                    export.isReadOnly() ? "read-only" : "read-write",
                    export.timeoutSeconds()));
        }
        out.flush();
        return 0;
    }

    private List<GnbdExport> ask() throws IOException, GnbdProtocolException {
        InetSocketAddress address = new InetSocketAddress(host, port);
        if (address.isUnresolved()) {
            throw new IOException(
                    "this host name is not known; write the server's name or address, and its port by --port");
        }
        try (Socket socket = new Socket()) {
            socket.connect(address, TIMEOUT_MILLIS);
            socket.setSoTimeout(TIMEOUT_MILLIS);
            ByteBuf request = Unpooled.buffer();
            GnbdControl.of(Gnbd.NAMES).append(request);
            socket.getOutputStream().write(ByteBufUtil.getBytes(request));
            // To its end: the original server dies of a client that closes before.
            DataInputStream in = new DataInputStream(socket.getInputStream());
            int errno = in.readInt();
            if (errno != 0) {
                throw new IOException("it answers NAMES with error " + errno);
            }
            int sizeBytes = in.readInt();
            if (sizeBytes < 0 || sizeBytes > GnbdExport.MAX_EXPORTS * GnbdExport.BYTES) {
                throw new IOException(
                        "its list has " + Integer.toUnsignedString(sizeBytes) + " bytes; is it a GNBD server?");
            }
            byte[] records = in.readNBytes(sizeBytes);
            if (records.length < sizeBytes) {
                throw new EOFException();
            }
            return GnbdExport.readAll(Unpooled.wrappedBuffer(records), 0, sizeBytes);
        }
    }
}
