// What all kernels share. NVRTC has no standard headers, so the types are spelled out; a C++ compiler that stands
// in for it (tests/cuda) brings its own meaning of the words that only CUDA knows.
//
// Arithmetic: f32, rounded to nearest, denormals kept, no contraction (`--fmad=false`): a fused multiply-add stands
// where `fmaf` is written and nowhere else. So each kernel gives the bits of the Rust scorer on the CPU, and which of
// the two scored a window can be read off no decision.
#pragma once

#ifdef EDDY_EMULATED
#include "emulator.h"
#else
#define KERNEL extern "C" __global__
// All the shared memory of the launch.
#define SHARED_MEMORY(name) extern __shared__ float4 name[]
#endif

typedef unsigned int u32;

// Threads of a block, in every kernel; and of an offset or a ring: there is none.
enum : u32 { THREADS = 128, WARP = 32, WARPS = THREADS / WARP, EVERY_LANE = 0xffffffffu, NONE = 0xffffffffu };

__device__ inline float not_a_number() { return __uint_as_float(0x7fc00000u); }

__device__ inline u32 at_most(u32 a, u32 b) { return a < b ? a : b; }

// Natural logarithm of a positive normal value: `ln` of src/model/pyramid/kernel.rs, operation by operation.
__device__ inline float ln(float x) {
    const u32 SQRT_HALF_BITS = 0x3f3504f3u;
    const u32 bits = __float_as_uint(x) - SQRT_HALF_BITS;
    const int exponent = (int)bits >> 23;
    const float mantissa = __uint_as_float((bits & 0x007fffffu) + SQRT_HALF_BITS);
    const float s = (mantissa - 1.0f) / (mantissa + 1.0f);
    const float s2 = s * s;
    const float series = fmaf(s2, fmaf(s2, fmaf(s2, 2.0f / 9.0f, 2.0f / 7.0f), 0.4f), 2.0f / 3.0f);
    const float small = fmaf(s, s2 * series, 2.0f * s);
    return fmaf((float)exponent, 0.69314718055994530942f, small);
}

// `x(lane)^2 + x(width + lane)^2 + ...`, so many terms.
template <typename X>
__device__ inline float squares_of_lane(const X& x, u32 lane, u32 width, u32 terms) {
    float sum = 0.0f;
    for (u32 step = 0; step < terms; step++) {
        const float value = x(step * width + lane);
        sum = fmaf(value, value, sum);
    }
    return sum;
}

// `sum over cells of x(cell, column)^2` of `n` values, cell-major: `squares` of src/model/pyramid/kernel.rs, in its
// order: up to eight columns are summed in sixteen lanes that step over whole cells, and the lanes are added up, by
// halves where they are a power of two.
template <typename X>
__device__ inline float squares(const X& x, u32 n, u32 columns, u32 column) {
    float sum = 0.0f;
    u32 done = 0;
    if (2 * columns <= 16) {
        const u32 lanes = 16 / columns, width = lanes * columns;
        const u32 terms = n >= 16 ? (n - 16) / width + 1 : 0;
        done = terms * width;
        if (width < 16) {
            for (u32 m = 0; m < lanes; m++) sum += squares_of_lane(x, m * columns + column, width, terms);
        } else {
            // Lanes m and m + lanes / 2 first, then sums of those lanes / 4 apart, and so on: met in the order of
            // their reversed bits they are neighbours, and what waits for its neighbour waits in one of four places.
            float waiting[4];
            const u32 bits = 31 - __clz(lanes);
            for (u32 i = 0; i < lanes; i++) {
                sum = squares_of_lane(x, (__brev(i) >> (32 - bits)) * columns + column, width, terms);
                bool met = true;
#pragma unroll
                for (u32 level = 0; level < 4; level++) {
                    const bool second = (i >> level & 1) != 0;
                    if (met && second) sum = waiting[level] + sum;
                    if (met && !second) waiting[level] = sum;
                    met = met && second;
                }
            }
        }
    }
    for (u32 k = done + column; k < n; k += columns) {
        const float value = x(k);
        sum = fmaf(value, value, sum);
    }
    return sum;
}
