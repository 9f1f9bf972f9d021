// What CUDA's words mean on the CPU: enough of them for the kernels of kernels/, whose own source is compiled with this
// header. A thread of a block is a fiber; a barrier or a warp's shuffle hands over to the next one, in an order drawn
// anew from a seed each time, so that a missing barrier shows as a wrong result. Shared memory is poisoned before each
// block and belongs to the heap, so that AddressSanitizer knows its end; reads and writes of global memory go straight
// to the heap as well.
//
// Limits: threads never run at the same moment, so that a race between two barriers shows by order alone and never as
// a torn value; blocks of a launch run one after the other (in an order of the seed); a warp's lanes are not in step
// between shuffles, as on the GPU since Volta; no bank conflicts, no coalescing, no caches: nothing here says how fast.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define KERNEL extern "C"
#define __device__
#define __global__
#define SHARED_MEMORY(name) float4* name = (float4*)emulator::shared_memory()

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct Dim3 { unsigned x, y, z; };

inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline unsigned __float_as_uint(float x) { unsigned bits; std::memcpy(&bits, &x, 4); return bits; }
inline float __uint_as_float(unsigned bits) { float x; std::memcpy(&x, &bits, 4); return x; }
inline double __longlong_as_double(long long bits) { double x; std::memcpy(&x, &bits, 8); return x; }
inline int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++) reversed |= (x >> bit & 1u) << (31 - bit);
    return reversed;
}

namespace emulator {

// Of the running fiber.
struct Place { Dim3 thread, block; };
extern thread_local Place* current;

void* shared_memory();
// Waits until every thread of the block has come here; of the warp.
void block_barrier();
void warp_barrier(unsigned mask);
// Where the running warp exchanges values: 8 bytes a lane. Two parities, so that one exchange may follow another.
uint64_t* exchange();

// Runs all blocks of a launch on the calling thread. `seed` orders fibers and blocks. Gives what went wrong, or null:
// threads that wait at different barriers, or that have ended while others wait.
typedef void (*Body)(void* kernel, void** arguments);
const char* run(Body body, void* kernel, void** arguments, Dim3 grid, Dim3 block, unsigned shared_bytes, uint64_t seed);

template <typename T>
T shuffle(T value, unsigned from) {
    static_assert(sizeof(T) <= 8, "a lane has eight bytes");
    uint64_t* slots = exchange();
    std::memcpy(&slots[current->thread.x % 32], &value, sizeof(T));
    warp_barrier(0xffffffffu);
    std::memcpy(&value, &slots[from], sizeof(T));
    return value;
}

}  // namespace emulator

#define threadIdx (emulator::current->thread)
#define blockIdx (emulator::current->block)

inline void __syncthreads() { emulator::block_barrier(); }
inline void __syncwarp() { emulator::warp_barrier(0xffffffffu); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
    return emulator::shuffle(value, (threadIdx.x % 32) ^ mask);
}

inline int __any_sync(unsigned, int predicate) {
    uint64_t* slots = emulator::exchange();
    slots[threadIdx.x % 32] = predicate != 0;
    emulator::warp_barrier(0xffffffffu);
    for (int lane = 0; lane < 32; lane++) {
        if (slots[lane]) return 1;
    }
    return 0;
}
