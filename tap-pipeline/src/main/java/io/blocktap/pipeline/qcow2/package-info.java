/**
 * qcow2 images: the format, and one engine that serves them, for the terminator {@code qcow2} and the interposer {@code cow}.
 *
 * <p>Source of the format: QEMU, {@code docs/interop/qcow2.txt}.
 */
@NullMarked
package io.blocktap.pipeline.qcow2;

import org.jspecify.annotations.NullMarked;
