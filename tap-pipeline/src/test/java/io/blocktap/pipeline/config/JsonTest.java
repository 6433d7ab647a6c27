package io.blocktap.pipeline.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

final class JsonTest {
    @Test
    void writesEveryKindOfValue() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("text", "a \"quoted\" \\ line\nand\ttab\u0001é");
        map.put("numbers", List.of(1, 2L, 0.5));
        map.put("not a number", Double.NaN);
        map.put("yes", true);
        map.put("nothing", null);
        map.put("empty", List.of());

        assertThat(Json.line(map))
                .isEqualTo("{\"text\": \"a \\\"quoted\\\" \\\\ line\\nand\\ttab\\u0001é\", \"numbers\": [1, 2, 0.5],"
                        + " \"not a number\": null, \"yes\": true, \"nothing\": null, \"empty\": []}");
    }

    @Test
    void indentsForPeople() {
        assertThat(Json.pretty(Map.of("a", List.of(1, 2)))).isEqualTo("{\n  \"a\": [\n    1,\n    2\n  ]\n}");
    }
}
