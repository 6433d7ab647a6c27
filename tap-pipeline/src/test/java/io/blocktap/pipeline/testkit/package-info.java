/**
 * How stages are tested without a guest: {@link io.blocktap.pipeline.testkit.StageHarness} opens a chain on real event loops, and
 * every stage runs {@link io.blocktap.pipeline.testkit.TerminatorContractTest} or
 * {@link io.blocktap.pipeline.testkit.InterposerContractTest}. Published as the test-jar of tap-pipeline.
 */
@NullMarked
package io.blocktap.pipeline.testkit;

import org.jspecify.annotations.NullMarked;
