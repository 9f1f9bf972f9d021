// Windows out of the rings, scaled as their keys are: what `forward` takes.
//
// Shapes: `windows[row]` is {first value of the key's ring or NONE, place of the window's last cell}, which is at most the
// newest that was appended; `rings` as for `append`; `scored` lists the columns that are gathered. `z` is rows x stride,
// the last `cells` cells of the window at the END of its row, `(x - mean) / sd` clipped to 20 either way, NaN = missing.
// Grid: rows / 4, a warp a window; no shared memory. Launches may run at once where their outputs do not overlap, none
// beside an `append` to the same rings.
#include "common.cuh"

const float Z_MAX = 20.0f;

KERNEL void gather(const float* rings, const uint2* windows, const u32* scored, float* z, u32 rows, u32 stride,
                   u32 ring_cells, u32 columns, u32 scored_columns, u32 cells) {
    const u32 row = (blockIdx.x * THREADS + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    const uint2 window = windows[row];
    const float* ring = rings + (window.x == NONE ? 0 : window.x);
    const float* scales = ring + (size_t)ring_cells * columns;
    float* to = z + (size_t)(row + 1) * stride - (size_t)cells * scored_columns;
    for (u32 k = lane; k < cells * scored_columns; k += WARP) {
        const u32 back = cells - 1 - k / scored_columns, column = scored[k % scored_columns];
        float value = not_a_number();
        if (window.x != NONE) {
            const u32 place = (window.y + ring_cells - back) % ring_cells;
            value = (ring[(size_t)place * columns + column] - scales[2 * column]) / scales[2 * column + 1];
            value = value < -Z_MAX ? -Z_MAX : value > Z_MAX ? Z_MAX : value;
        }
        to[k] = value;
    }
}
