package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.StageException;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What an image says decides how its backing file is read, and not what a guest may have written there. */
class BackingFormatTest {
    private static final Path IMAGE = Path.of("/d/i.qcow2");
    private static final Path BACKING = Path.of("/d/b.img");

    private static Qcow2Header header(String name, @Nullable String format) {
        return new Qcow2Header(
                3, 16, 0, name, format, false, 65536, 0, 65536, 1, 4, 0, 0, 0, 0, Compression.ZLIB, Map.of());
    }

    @ParameterizedTest
    @CsvSource({"raw, true, false", "raw, false, false", "qcow2, true, true", ", false, false"})
    void itIsReadAsRecorded(@Nullable String format, boolean beginsAsQcow2, boolean isQcow2) throws StageException {
        assertThat(BackingFormat.isQcow2(IMAGE, header("b.img", format), BACKING, beginsAsQcow2))
                .isEqualTo(isQcow2);
    }

    @ParameterizedTest
    @CsvSource({
        ", true, looks like qcow2, qemu-img rebase -u -b b.img -F qcow2 /d/i.qcow2",
        "qcow2, false, is not a qcow2 image, qemu-img rebase -u -b b.img -F raw /d/i.qcow2",
        "vmdk, false, is of format vmdk, qemu-img convert",
        "'', true, 'is of format ;', qemu-img convert",
    })
    void otherwiseItIsRefused(@Nullable String format, boolean beginsAsQcow2, String why, String todo) {
        assertThatThrownBy(() -> BackingFormat.isQcow2(IMAGE, header("b.img", format), BACKING, beginsAsQcow2))
                .isInstanceOf(StageException.class)
                .hasMessageContainingAll("/d/b.img " + why, todo);
    }

    @ParameterizedTest
    @CsvSource({"raw, false", "qcow2, true"})
    void whatIsWrittenMustBeRecorded(String format, boolean isQcow2) throws StageException {
        assertThat(BackingFormat.isQcow2(IMAGE, header("b.img", format), BACKING))
                .isEqualTo(isQcow2);

        assertThatThrownBy(() -> BackingFormat.isQcow2(IMAGE, header("b.img", null), BACKING))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("qemu-img rebase -u -b b.img -F FORMAT /d/i.qcow2");
    }

    @Test
    void anImagesTextCanNotEndTheCommandThatIsProposed() {
        assertThatThrownBy(() -> BackingFormat.isQcow2(IMAGE, header("b'; rm -r $HOME", "qcow2"), BACKING, false))
                .hasMessageContaining("-b 'b'\\''; rm -r $HOME' -F raw");
    }
}
