// Qualifiers that let the headers of this folder compile as C++, CUDA and Metal.
//
// Rule of the folder: arguments and results by value, no pointers, no standard library. So no
// address spaces appear and every device reads the same text.
#pragma once

#if defined(__METAL_VERSION__)
#include <metal_stdlib>
#define ECQ_FN inline
#elif defined(__CUDACC__)
#include <stdint.h>
#define ECQ_FN __host__ __device__ constexpr inline
#else
#include <stdint.h>
#define ECQ_FN constexpr inline
#endif
