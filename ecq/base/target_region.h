// Regions of a file that are compiled for one instruction set level.
//
// Between ECQ_TARGET_BEGIN_<ISA> and ECQ_TARGET_END every function is compiled for that level; the
// rest of the file stays at the baseline. Include all headers before the region, except those whose
// functions are meant for it, and put the functions into a namespace of the level, or the linker
// would merge inline functions of different levels.
#pragma once

#define ECQ_TARGET_PRAGMA(...) _Pragma(#__VA_ARGS__)

#if defined(__clang__)
#define ECQ_TARGET_BEGIN(...) \
  ECQ_TARGET_PRAGMA(clang attribute push(__attribute__((target(__VA_ARGS__))), apply_to = function))
#define ECQ_TARGET_END ECQ_TARGET_PRAGMA(clang attribute pop)
#else
#define ECQ_TARGET_BEGIN(...) \
  ECQ_TARGET_PRAGMA(GCC push_options) ECQ_TARGET_PRAGMA(GCC target(__VA_ARGS__))
#define ECQ_TARGET_END ECQ_TARGET_PRAGMA(GCC pop_options)
#endif

// GCC inlines its intrinsics only where all of ARMv8.2 is allowed; Clang knows no arch= here.
#if defined(__clang__)
#define ECQ_TARGET_BEGIN_NEON ECQ_TARGET_BEGIN("dotprod")
#else
#define ECQ_TARGET_BEGIN_NEON ECQ_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif
#define ECQ_TARGET_BEGIN_AVX2 ECQ_TARGET_BEGIN("avx2,fma,f16c")
#define ECQ_TARGET_BEGIN_AVX512 \
  ECQ_TARGET_BEGIN(             \
      "avx2,fma,f16c,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni")
