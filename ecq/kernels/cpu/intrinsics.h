// <immintrin.h> without false warnings, or <arm_neon.h>.
#pragma once

#if defined(__x86_64__)
// GCC 12 takes the deliberately undefined pass-through operands in its own AVX-512 header for
// uninitialized variables (GCC bug 105593).
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
