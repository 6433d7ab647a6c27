package io.blocktap.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The command against a server that answers as a test says. */
@Timeout(30)
final class GnbdListCommandTest {
    private static Cli listFrom(byte[] answer) throws Exception {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            CompletableFuture<byte[]> request = CompletableFuture.supplyAsync(() -> serve(server, answer));

            Cli cli = Cli.run("gnbd", "list", "127.0.0.1", "--port", Integer.toString(server.getLocalPort()));

            assertThat(request.get(10, TimeUnit.SECONDS)).containsExactly(0, 0, 0, 1);
            return cli;
        }
    }

    private static byte[] serve(ServerSocket server, byte[] answer) {
        try (Socket client = server.accept()) {
            byte[] request = client.getInputStream().readNBytes(4);
            client.getOutputStream().write(answer);
            return request;
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private static void record(ByteBuffer target, int timeout, int flags, String name) {
        int start = target.position();
        target.order(ByteOrder.LITTLE_ENDIAN).putInt(timeout).putShort((short) flags);
        target.put(name.getBytes(StandardCharsets.ISO_8859_1)).position(start + 40);
    }

    @Test
    void printsNameAccessAndTimeoutInTheServersOrder() throws Exception {
        ByteBuffer answer = ByteBuffer.allocate(88).putInt(0).putInt(80);
        record(answer, 60, 1, "rodisk");
        record(answer, 0, 0, "disk\u001b");

        Cli cli = listFrom(answer.array());

        assertThat(cli.code()).as(cli.err()).isZero();
        assertThat(cli.out().lines().map(line -> line.replaceAll(" +", " ")))
                .containsExactly("EXPORT ACCESS TIMEOUT", "rodisk read-only 60", "disk\\u001b read-write 0");
    }

    @Test
    void aListThatIsCutOffFails() throws Exception {
        Cli cli = listFrom(ByteBuffer.allocate(20).putInt(0).putInt(40).array());

        assertThat(cli.code()).isEqualTo(1);
        assertThat(cli.firstError()).contains("closed before its list was complete");
    }

    @Test
    void aListOfImpossibleLengthIsNotReadIntoMemory() throws Exception {
        Cli cli = listFrom(ByteBuffer.allocate(8).putInt(0).putInt(-2).array());

        assertThat(cli.code()).isEqualTo(1);
        assertThat(cli.firstError()).contains("its list has 4294967294 bytes");
    }
}
