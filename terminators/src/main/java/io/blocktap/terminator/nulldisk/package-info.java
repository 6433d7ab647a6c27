/**
 * The terminator {@code null}: answers everything at once and keeps nothing; for measuring what is in front of it. (The package is
 * not named after it because {@code null} is a word of the language.)
 *
 * <p>Threads: any number of event loops at a time; there is no state.
 */
@NullMarked
package io.blocktap.terminator.nulldisk;

import org.jspecify.annotations.NullMarked;
