/* TENURE_WIDE before a function that passes over many numbers: it is built for AVX2, too, and the CPU chooses when the library
 * is loaded. The same bits: AVX2 alone fuses no multiplication with an addition, and sums keep the order they are written in.
 * No part of the ABI. Sanitizers start after such a choice, so with them there is none.
 */
#ifndef TENURE_WIDE_H
#define TENURE_WIDE_H

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define TENURE_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define TENURE_WIDE
#endif

#endif
