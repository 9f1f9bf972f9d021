// What the rows of a window come to, by column: windows of any number of rows each, sessions too.
//
// Shapes: `values` is rows x columns f32, NaN = missing; window w has rows `offsets[w]` to `offsets[w + 1]` (none is
// a window of nothing). By window and column: `counts` of what is there, `sums` (f64), and `least`, `most` and `last`,
// NaN where nothing is. Sums are of 32 interleaved chains added up by halves: the same bits for the same rows, and those
// of a chain in order up to rounding of f64.
// Grid: (windows / 4, columns), a warp a window and column; no shared memory. Launches may run at once where their outputs do
// not overlap.
#include "common.cuh"

KERNEL void aggregate(const float* values, const u32* offsets, u32* counts, double* sums, float* least, float* most,
                      float* last, u32 windows, u32 columns) {
    const u32 window = (blockIdx.x * THREADS + threadIdx.x) / WARP, lane = threadIdx.x % WARP, column = blockIdx.y;
    if (window >= windows) return;
    const float inf = __uint_as_float(0x7f800000u);
    u32 count = 0, newest = 0;
    double sum = 0.0;
    float low = inf, high = -inf, value_last = not_a_number();
    for (u32 row = offsets[window] + lane; row < offsets[window + 1]; row += WARP) {
        const float value = values[(size_t)row * columns + column];
        if (value == value) {
            count++, sum += (double)value, newest = row + 1, value_last = value;
            low = value < low ? value : low, high = value > high ? value : high;
        }
    }
#pragma unroll
    for (u32 apart = 16; apart >= 1; apart /= 2) {
        count += __shfl_xor_sync(EVERY_LANE, count, apart);
        sum += __shfl_xor_sync(EVERY_LANE, sum, apart);
        const float below = __shfl_xor_sync(EVERY_LANE, low, apart);
        const float above = __shfl_xor_sync(EVERY_LANE, high, apart);
        const u32 there = __shfl_xor_sync(EVERY_LANE, newest, apart);
        const float other = __shfl_xor_sync(EVERY_LANE, value_last, apart);
        low = below < low ? below : low, high = above > high ? above : high;
        if (there > newest) newest = there, value_last = other;
    }
    if (lane > 0) return;
    const size_t at = (size_t)window * columns + column;
    counts[at] = count, sums[at] = sum, last[at] = value_last;
    least[at] = count > 0 ? low : not_a_number(), most[at] = count > 0 ? high : not_a_number();
}
