// Windows out of the rings, scaled as their keys are: what `forward` takes.
//
// Shapes: `windows[row]` is {ring or NONE, place of the window's last cell, how many of its last cells are beyond the
// key's newest one, key}; `rings` as for `append`; `scales` is keys x columns {mean, sd}, raw units; `scored` lists the
// columns that are gathered. `z` is rows x stride, the last `cells` cells of the window at the END of its row,
// `(x - mean) / sd` clipped to 20 either way, NaN = missing; `gaps[row]` is 1 where any is missing.
// Grid: rows / 4, a warp a window; no shared memory. Launches may run at once where their outputs do not overlap, none
// beside an `append` to the same rings.
#include "common.cuh"

const float Z_MAX = 20.0f;

KERNEL void gather(const float* rings, const uint4* windows, const float2* scales, const u32* scored, float* z,
                   u32* gaps, u32 rows, u32 stride, u32 ring_cells, u32 columns, u32 scored_columns, u32 cells) {
    const u32 row = (blockIdx.x * THREADS + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    const uint4 window = windows[row];
    const float* ring = rings + (size_t)(window.x == NONE ? 0 : window.x) * ring_cells * columns;
    float* to = z + (size_t)(row + 1) * stride - (size_t)cells * scored_columns;
    bool gap = false;
    for (u32 k = lane; k < cells * scored_columns; k += WARP) {
        const u32 back = cells - 1 - k / scored_columns, column = scored[k % scored_columns];
        float value = not_a_number();
        if (window.x != NONE && back >= window.z) {
            const u32 place = (window.y + ring_cells - back) % ring_cells;
            const float2 scale = scales[(size_t)window.w * columns + column];
            value = (ring[(size_t)place * columns + column] - scale.x) / scale.y;
            value = value < -Z_MAX ? -Z_MAX : value > Z_MAX ? Z_MAX : value;
        }
        gap = gap || value != value;
        to[k] = value;
    }
    const bool any = __any_sync(EVERY_LANE, gap) != 0;
    if (lane == 0) gaps[row] = any ? 1 : 0;
}
