// New samples from a pinned slot into the rings of their keys, and the scales of keys whose scales are new.
//
// Shapes: a ring is ring_cells x columns f32, raw units, NaN = missing, and behind them {mean, sd} of each column, which
// its windows are scaled by; rings lie anywhere in `rings`. Samples come in runs, one a ring: `runs[run]` is {first value
// of the ring, first sample, end of samples, place of new scales in `values` or NONE}, samples of a run in order of their
// cells; `samples[sample]` is {place of its cell in the ring, cells between it and the one before it}, which become
// missing (as `Grid::write` of src/window/grid.rs does, at most ring_cells - 1 of them); `values` is samples x columns,
// raw units, and behind them the new scales.
// Grid: runs / 4, a warp a run; no shared memory. Runs of a launch are of different rings; launches that touch
// the same rings follow each other on one stream.
#include "common.cuh"

KERNEL void append(float* rings, const uint4* runs, const uint2* samples, const float* values, u32 run_count,
                   u32 ring_cells, u32 columns) {
    const u32 run = (blockIdx.x * THREADS + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (run >= run_count) return;
    const uint4 of = runs[run];
    float* ring = rings + of.x;
    for (u32 sample = of.y; sample < of.z; sample++) {
        const uint2 at = samples[sample];
        for (u32 k = lane; k < at.y * columns; k += WARP) {
            const u32 place = (at.x + ring_cells - 1 - k / columns) % ring_cells;
            ring[(size_t)place * columns + k % columns] = not_a_number();
        }
        for (u32 column = lane; column < columns; column += WARP) {
            ring[(size_t)at.x * columns + column] = values[(size_t)sample * columns + column];
        }
        // The next sample may make missing what this one wrote, or write what this one made missing.
        __syncwarp();
    }
    for (u32 k = lane; of.w != NONE && k < 2 * columns; k += WARP) {
        ring[(size_t)ring_cells * columns + k] = values[of.w + k];
    }
}
