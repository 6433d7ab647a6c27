/** JMH benchmarks of the request path. How to run them, and what came out: {@code docs/benchmarks.md}. */
@NullMarked
package io.blocktap.benchmarks;

import org.jspecify.annotations.NullMarked;
