/**
 * The terminator {@code memory}: a sparse disk in RAM.
 *
 * <p>Start at {@link io.blocktap.terminator.memory.MemoryTerminator}, then {@link io.blocktap.terminator.memory.ChunkTable} (finds
 * the chunk of an offset) and {@link io.blocktap.terminator.memory.Chunk} (a few megabytes of mapped memory and a bit for each of
 * its pages).
 *
 * <p>Threads: any number of event loops at a time. No lock is taken: a chunk, once made, stays mapped until the disk is closed, and
 * discarded pages are given back to the system under the mapping, so that a racing reader meets the old page or zeroes.
 */
@NullMarked
package io.blocktap.terminator.memory;

import org.jspecify.annotations.NullMarked;
