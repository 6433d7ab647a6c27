package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.StageException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Names of backing files mean to us what they mean to QEMU; Qcow2InfoIT asks the real one. */
class BackingNameTest {
    @ParameterizedTest
    @CsvSource({
        "i.qcow2, b.img, b.img",
        "./i.qcow2, b.img, ./b.img",
        "../d/i.qcow2, b.img, ../d/b.img",
        "../d/i.qcow2, ../b.img, ../d/../b.img",
        "../d/i.qcow2, ./b.img, ../d/./b.img",
        "/d/i.qcow2, b.img, /d/b.img",
        "/d/i.qcow2, e//b.img, /d/e//b.img",
        "/d/i.qcow2, /b.img, /b.img",
        "d/i.qcow2, /b.img, /b.img",
        "d/i.qcow2, ./a:b, d/./a:b",
        "d/i.qcow2, e/a:b, d/e/a:b",
        "d/i.qcow2, file:b.img, file:b.img",
        "d/i.qcow2, file:/b.img, file:/b.img",
        "d/i.qcow2, nbd://host/x, nbd://host/x",
        "d/i.qcow2, json:{}, json:{}",
        "d/i.qcow2, a:b, a:b",
    })
    void theFullNameIsThatOfQemu(String image, String name, String full) {
        assertThat(BackingName.full(image, name)).isEqualTo(full);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "b.img",
                "/b:img",
                "./a:b",
                "file:b.img",
                "file:a:b",
                "file:nbd://host/x",
                "file:///b.img",
                "",
                "e/json:x"
            })
    void aNameWithoutAnotherProtocolIsAFile(String name) {
        assertThat(BackingName.isFile(name)).isTrue();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "nbd:unix:/s",
                "nbd://host/x",
                "nbd+unix:///?socket=/s",
                "json:{\"driver\":\"file\",\"filename\":\"b.img\"}",
                "host_device:/dev/sda",
                "FILE:b.img",
                "a:b",
                ":b",
            })
    void aNameWithAnotherProtocolIsNoFile(String name) {
        assertThat(BackingName.isFile(name)).isFalse();
        assertThatThrownBy(() -> BackingName.resolve(Path.of("/d/i.qcow2"), name))
                .isInstanceOf(StageException.class)
                .hasMessageContainingAll("/d/i.qcow2 has the backing file " + name, "not a file", "cow:/d/i.qcow2");
    }

    @Test
    void relativeNamesBeginInTheImagesDirectoryAndBehindFileInTheCurrentOne() throws StageException {
        Path current = Path.of("").toAbsolutePath();

        assertThat(BackingName.resolve(Path.of("/d/i.qcow2"), "b.img")).isEqualTo(Path.of("/d/b.img"));
        assertThat(BackingName.resolve(Path.of("i.qcow2"), "b.img")).isEqualTo(current.resolve("b.img"));
        assertThat(BackingName.resolve(Path.of("file:d/i.qcow2"), "b.img")).isEqualTo(current.resolve("file:d/b.img"));
        assertThat(BackingName.resolve(Path.of("/d/i.qcow2"), "/b.img")).isEqualTo(Path.of("/b.img"));
        assertThat(BackingName.resolve(Path.of("/d/i.qcow2"), "file:b.img")).isEqualTo(current.resolve("b.img"));
        assertThat(BackingName.resolve(Path.of("/d/i.qcow2"), "file:/a:b")).isEqualTo(Path.of("/a:b"));
    }

    @Test
    void aNameThatNoFileCanHaveIsRefused() {
        assertThatThrownBy(() -> BackingName.resolve(Path.of("/d/i.qcow2"), "a\0b"))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("name can not be one");
    }

    @ParameterizedTest
    @CsvSource({
        "/d/i.qcow2, /d/b.img, b.img",
        "/d/i.qcow2, /d/e/b.img, e/b.img",
        "/d/i.qcow2, /d/a:b, ./a:b",
        "/d/i.qcow2, /b.img, /b.img",
    })
    void whatIsRecordedIsFoundAgain(String image, String backing, String recorded) throws StageException {
        assertThat(BackingName.of(Path.of(image), Path.of(backing))).isEqualTo(recorded);
        assertThat(BackingName.resolve(Path.of(image), recorded).normalize()).isEqualTo(Path.of(backing));
    }
}
