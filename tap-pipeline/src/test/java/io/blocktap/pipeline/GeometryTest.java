package io.blocktap.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.EnumSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The numbers that a disk may tell. */
final class GeometryTest {
    private static Geometry of(long size, int minimum, int logical, int physical, int alignment) {
        return new Geometry(size, minimum, logical, physical, 0, alignment, Set.of());
    }

    @Test
    void refusesNumbersThatAreNoPowersOfTwoOrTooSmall() {
        assertThat(of(0, 1, 512, 512, 1).sizeBytes()).isZero();
        assertThatThrownBy(() -> of(-1, 1, 512, 512, 1)).hasMessageContaining("size of -1");
        assertThatThrownBy(() -> of(1, 0, 512, 512, 1)).hasMessageContaining("minimumIoBytes 0");
        assertThatThrownBy(() -> of(1, 3, 512, 512, 1)).hasMessageContaining("minimumIoBytes 3");
        assertThatThrownBy(() -> of(1, 1, 256, 512, 1)).hasMessageContaining("logicalBlockBytes 256");
        assertThatThrownBy(() -> of(1, 1, 4096, 512, 1)).hasMessageContaining("physicalBlockBytes 512");
        assertThatThrownBy(() -> of(1, 1, 512, 1000, 1)).hasMessageContaining("physicalBlockBytes 1000");
        assertThatThrownBy(() -> of(1, 1, 512, 512, 0)).hasMessageContaining("dataAlignmentBytes 0");
        assertThatThrownBy(() -> of(1, Integer.MIN_VALUE, 512, 512, 1)).hasMessageContaining("minimumIoBytes");
    }

    @Test
    void copiesChangeOneThing() {
        Geometry geometry = new Geometry(8192, 512, 512, 4096, 4096, 512, Set.of(Feature.FLUSH));

        assertThat(geometry.withSizeBytes(4096))
                .isEqualTo(new Geometry(4096, 512, 512, 4096, 4096, 512, Set.of(Feature.FLUSH)));
        assertThat(geometry.withMinimumIoBytes(1))
                .isEqualTo(new Geometry(8192, 1, 512, 4096, 4096, 512, Set.of(Feature.FLUSH)));
        assertThat(geometry.withFeatures(Set.of(Feature.READ_ONLY)).has(Feature.FLUSH))
                .isFalse();
        assertThat(geometry.withSizeBytes(8192)).isEqualTo(geometry);
    }

    @Test
    void theSetOfFeaturesIsItsOwn() {
        EnumSet<Feature> features = EnumSet.of(Feature.FLUSH);
        Geometry geometry = new Geometry(1, 1, 512, 512, 0, 1, features);

        features.add(Feature.FUA);

        assertThat(geometry.has(Feature.FUA)).isFalse();
        assertThatThrownBy(() -> geometry.features().add(Feature.FUA))
                .isInstanceOf(UnsupportedOperationException.class);
    }
}
