/**
 * The one place that calls libc.
 *
 * <p>{@link io.blocktap.transport.sys.Libc} maps the calls by JNA <em>direct mapping</em> with primitive arguments, which
 * costs about 100 ns over the call itself. Failed set-up calls throw {@link io.blocktap.transport.sys.NativeException}
 * with the call, its argument and errno; calls of the data path return {@code -errno} instead and allocate nothing. Start
 * reading at {@code Libc}; {@link io.blocktap.transport.sys.Fd} owns a descriptor.
 *
 * <p>Threads: everything here may be called from any thread. Sources: Linux man-pages sections 2 and 7, uapi headers
 * {@code linux/fs.h}, {@code linux/falloc.h}, {@code linux/memfd.h}, {@code linux/fcntl.h}.
 */
@NullMarked
package io.blocktap.transport.sys;

import org.jspecify.annotations.NullMarked;
