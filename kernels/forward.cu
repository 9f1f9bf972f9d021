// The generative model on whole windows: what every level, the law between columns and the roughness of columns make
// of each, short of the look-ups in tails, which the host does.
//
// Shapes: `z` is rows x stride f32, a window's last cells (scored columns, cell-major, all finite, z units) at the END
// of its row, `stride` a multiple of 4 and `z` on 16 bytes. `weights` holds what the `Level`s point into, in the
// layout of src/model/pyramid/kernel.rs: panels of 16 outputs, each panel input-major, on 64 bytes. `out` is
// fields x rows: of each level the sum of logarithms under its single density, that under its codes, and the nearest
// code (u32 bits); then of each column its squared whitened distance from what the others say; then of each column the
// mean square of its steps over the last `still_cells` cells (0: not written, as are fields of what a level lacks).
// Grid: (rows / tile, levels + 1), the last of y for roughness; 128 threads; shared memory as `forward_shared_bytes` of
// src/backend/cuda/shape.rs counts it. Tiles are of 32, 16 and 8 windows: the largest whose vectors and projections fit.
// Blocks share nothing but reads; launches may run at once where their `out` do not overlap.
#include "common.cuh"

// Offsets are in floats from `weights`; of two densities, and of the whitened gradients at most one level has.
struct Level {
    u32 dimension, pool, codes, project;
    u32 bias, scale, search, search_bias;
    u32 shift, own, own_bias, own_scale;
    u32 whiten, whiten_bias, unused_a, unused_b;
};

// A tile of windows in shared memory: value `k` of `row` at `k * STRIDE + row`. A warp takes a panel: its thread holds
// four outputs (`quad`) of ROWS neighbouring rows (`group`). The stride spreads what a warp reads over the banks.
template <u32 ROWS>
struct Tile {
    enum : u32 { HEIGHT = 8 * ROWS, STRIDE = ROWS == 1 ? 8 : HEIGHT + 8 };
};

__device__ inline void load_rows(const float* at, float (&to)[4]) {
    const float4 four = *(const float4*)at;
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}
__device__ inline void load_rows(const float* at, float (&to)[2]) {
    const float2 two = *(const float2*)at;
    to[0] = two.x, to[1] = two.y;
}
__device__ inline void load_rows(const float* at, float (&to)[1]) { to[0] = *at; }

__device__ inline void store_rows(float* at, const float (&from)[4]) {
    *(float4*)at = make_float4(from[0], from[1], from[2], from[3]);
}
__device__ inline void store_rows(float* at, const float (&from)[2]) { *(float2*)at = make_float2(from[0], from[1]); }
__device__ inline void store_rows(float* at, const float (&from)[1]) { *at = from[0]; }

// Four outputs of one panel: a chain of fused multiply-adds each, in the order of the inputs.
template <u32 ROWS>
__device__ inline void outputs(const float* weights, const float* bias, u32 inputs, u32 panel, const float* x,
                               float (&sums)[4][ROWS]) {
    const u32 quad = threadIdx.x % WARP / 8, group = threadIdx.x % 8;
    const float4* w = (const float4*)(weights + (size_t)panel * inputs * 16) + quad;
    const float4 first = ((const float4*)(bias + panel * 16))[quad];
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
        sums[0][r] = first.x, sums[1][r] = first.y, sums[2][r] = first.z, sums[3][r] = first.w;
    }
#pragma unroll 4
    for (u32 k = 0; k < inputs; k++) {
        const float4 of = w[(size_t)k * 4];
        float values[ROWS];
        load_rows(x + k * Tile<ROWS>::STRIDE + group * ROWS, values);
#pragma unroll
        for (u32 r = 0; r < ROWS; r++) {
            sums[0][r] = fmaf(values[r], of.x, sums[0][r]);
            sums[1][r] = fmaf(values[r], of.y, sums[1][r]);
            sums[2][r] = fmaf(values[r], of.z, sums[2][r]);
            sums[3][r] = fmaf(values[r], of.w, sums[3][r]);
        }
    }
}

template <u32 ROWS>
__device__ inline void product(const float* weights, const float* bias, u32 inputs, u32 panels, const float* x,
                               float* to) {
    const u32 quad = threadIdx.x % WARP / 8, group = threadIdx.x % 8;
    for (u32 panel = threadIdx.x / WARP; panel < panels; panel += WARPS) {
        float sums[4][ROWS];
        outputs<ROWS>(weights, bias, inputs, panel, x, sums);
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            store_rows(to + (panel * 16 + quad * 4 + i) * Tile<ROWS>::STRIDE + group * ROWS, sums[i]);
        }
    }
}

// The level's vectors of a tile into `x`; rows that are not there count as zeros.
template <u32 ROWS>
__device__ inline void load(const Level& level, const float* z, u32 stride, u32 columns, u32 first, u32 rows,
                            float* x) {
    const u32 d = level.dimension, S = Tile<ROWS>::STRIDE;
    if (level.pool == 1 && d % 4 == 0) {
        for (u32 at = threadIdx.x; at < Tile<ROWS>::HEIGHT * (d / 4); at += THREADS) {
            const u32 row = at / (d / 4), k = at % (d / 4) * 4;
            float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (first + row < rows) four = *(const float4*)(z + (size_t)(first + row + 1) * stride - d + k);
            x[k * S + row] = four.x, x[(k + 1) * S + row] = four.y;
            x[(k + 2) * S + row] = four.z, x[(k + 3) * S + row] = four.w;
        }
        return;
    }
    for (u32 at = threadIdx.x; at < Tile<ROWS>::HEIGHT * d; at += THREADS) {
        const u32 row = at / d, k = at % d, block = k / columns;
        float sum = 0.0f;
        if (first + row < rows) {
            const float* from = z + (size_t)(first + row + 1) * stride - (size_t)d * level.pool;
            from += (size_t)block * level.pool * columns + k % columns;
            sum = level.pool == 1 ? *from : 0.0f;
            for (u32 cell = 0; level.pool > 1 && cell < level.pool; cell++) sum += from[(size_t)cell * columns];
            if (level.pool > 1) sum = sum / (float)level.pool;
        }
        x[k * S + row] = sum;
    }
}

// `sum ln(1 + (p - shift)^2 scale)` of each row of the tile, into `out`. A warp takes eight rows; a thread every fourth
// lane of one, so that what the warp reads lies in 32 banks. `code_of(row)` says which of the shifts is the row's.
template <u32 ROWS, typename Code>
__device__ inline void ln_sums(const float* p, const float* shift, const Code& code_of, const float* scale, u32 panels,
                               u32 first, u32 rows, float* out) {
    const u32 quad = threadIdx.x % WARP / 8, group = threadIdx.x % 8;
    for (u32 eight = threadIdx.x / WARP; eight < ROWS; eight += WARPS) {
        const u32 row = eight * 8 + group;
        const float* about = shift ? shift + (size_t)code_of(row) * panels * 16 : 0;
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (u32 panel = 0; panel < panels; panel += 4) {
            float factors[4] = {1.0f, 1.0f, 1.0f, 1.0f};
            const u32 end = at_most(panel + 4, panels);
            for (u32 one = panel; one < end; one++) {
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    const u32 axis = one * 16 + quad + 4 * i;
                    const float r = p[axis * Tile<ROWS>::STRIDE + row] - (about ? about[axis] : 0.0f);
                    factors[i] *= fmaf(r * r, scale[axis], 1.0f);
                }
            }
#pragma unroll
            for (u32 i = 0; i < 4; i++) sums[i] += ln(factors[i]);
        }
        // Sixteen lanes by halves: those 8 and 4 apart are this thread's own, those 2 and 1 apart its neighbours'.
        float sum = (sums[0] + sums[2]) + (sums[1] + sums[3]);
        sum += __shfl_xor_sync(EVERY_LANE, sum, 16);
        sum += __shfl_xor_sync(EVERY_LANE, sum, 8);
        if (quad == 0 && first + row < rows) out[first + row] = sum;
    }
}

// The nearest code of each row by the projections in `p`: each warp's best into `least` and `place`, warps x tile.
// The first of equals; a distance that is no number is never the nearest.
template <u32 ROWS>
__device__ inline void nearest(const Level& level, const float* weights, const float* p, float* least, u32* place) {
    const u32 quad = threadIdx.x % WARP / 8, group = threadIdx.x % 8;
    float best[ROWS];
    u32 where[ROWS];
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) best[r] = __uint_as_float(0x7f800000u), where[r] = 0;
    for (u32 panel = threadIdx.x / WARP; panel < (level.codes + 15) / 16; panel += WARPS) {
        float sums[4][ROWS];
        outputs<ROWS>(weights + level.search, weights + level.search_bias, level.dimension, panel, p, sums);
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
#pragma unroll
            for (u32 r = 0; r < ROWS; r++) {
                if (sums[i][r] < best[r]) best[r] = sums[i][r], where[r] = panel * 16 + quad * 4 + i;
            }
        }
    }
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
#pragma unroll
        for (u32 apart = 8; apart <= 16; apart *= 2) {
            const float other = __shfl_xor_sync(EVERY_LANE, best[r], apart);
            const u32 there = __shfl_xor_sync(EVERY_LANE, where[r], apart);
            if (other < best[r] || (other == best[r] && there < where[r])) best[r] = other, where[r] = there;
        }
        if (quad == 0) {
            const u32 at = threadIdx.x / WARP * Tile<ROWS>::HEIGHT + group * ROWS + r;
            least[at] = best[r], place[at] = where[r];
        }
    }
}

// Of the warps' best ones.
template <u32 ROWS>
struct Best {
    const float* least;
    const u32* place;
    __device__ u32 operator()(u32 row) const {
        float best = least[row];
        u32 where = place[row];
        for (u32 warp = 1; warp < WARPS; warp++) {
            const float other = least[warp * Tile<ROWS>::HEIGHT + row];
            const u32 there = place[warp * Tile<ROWS>::HEIGHT + row];
            if (other < best || (other == best && there < where)) best = other, where = there;
        }
        return where;
    }
};

struct Nowhere {
    __device__ u32 operator()(u32) const { return 0; }
};

// Values of one row of a tile.
template <u32 ROWS>
struct OfTile {
    const float* p;
    u32 row;
    __device__ float operator()(u32 k) const { return p[k * Tile<ROWS>::STRIDE + row]; }
};

// Steps of a window's columns from cell to cell.
struct Steps {
    const float* z;
    u32 columns;
    __device__ float operator()(u32 k) const { return z[k + columns] - z[k]; }
};

__device__ inline void roughness(const float* z, u32 stride, u32 columns, u32 cells, u32 first, u32 height, u32 rows,
                                 float* out) {
    for (u32 at = threadIdx.x; at < height * columns; at += THREADS) {
        const u32 row = first + at / columns, column = at % columns;
        if (row >= rows) return;
        const Steps steps = {z + (size_t)(row + 1) * stride - cells * columns, columns};
        const float sum = squares(steps, (cells - 1) * columns, columns, column);
        out[(size_t)column * rows + row] = sum * (1.0f / (float)(cells - 1));
    }
}

template <u32 ROWS>
__device__ inline void forward(const float* z, const float* weights, const Level* levels, float* out, u32 rows,
                               u32 stride, u32 columns, u32 level_count, u32 still_cells, float4* shared) {
    const u32 S = Tile<ROWS>::STRIDE, HEIGHT = Tile<ROWS>::HEIGHT;
    const u32 first = blockIdx.x * HEIGHT;
    if (blockIdx.y == level_count) {
        float* rough = out + (size_t)(3 * level_count + columns) * rows;
        if (still_cells > 1) roughness(z, stride, columns, still_cells, first, HEIGHT, rows, rough);
        return;
    }
    const Level level = levels[blockIdx.y];
    const u32 d = level.dimension, panels = (d + 15) / 16;
    float* x = (float*)shared;
    float* p = x + d * S;
    float* least = p + panels * 16 * S;
    u32* place = (u32*)(least + WARPS * HEIGHT);
    float* of_level = out + (size_t)(3 * blockIdx.y) * rows;
    load<ROWS>(level, z, stride, columns, first, rows, x);
    __syncthreads();
    product<ROWS>(weights + level.project, weights + level.bias, d, panels, x, p);
    __syncthreads();
    ln_sums<ROWS>(p, 0, Nowhere(), weights + level.scale, panels, first, rows, of_level);
    if (level.codes > 0) {
        nearest<ROWS>(level, weights, p, least, place);
        __syncthreads();
        const Best<ROWS> best = {least, place};
        if (level.own != NONE) {
            product<ROWS>(weights + level.own, weights + level.own_bias, d, panels, x, p);
            __syncthreads();
        }
        ln_sums<ROWS>(p, weights + level.shift, best, weights + level.own_scale, panels, first, rows, of_level + rows);
        for (u32 row = threadIdx.x; row < HEIGHT && first + row < rows; row += THREADS) {
            of_level[2 * (size_t)rows + first + row] = __uint_as_float(best(row));
        }
    }
    if (level.whiten != NONE) {
        __syncthreads();
        product<ROWS>(weights + level.whiten, weights + level.whiten_bias, d, panels, x, p);
        __syncthreads();
        float* joint = out + (size_t)(3 * level_count) * rows;
        for (u32 at = threadIdx.x; at < HEIGHT * columns; at += THREADS) {
            const u32 row = at % HEIGHT, column = at / HEIGHT;
            const OfTile<ROWS> white = {p, row};
            if (first + row < rows) joint[(size_t)column * rows + first + row] = squares(white, d, columns, column);
        }
    }
}

KERNEL void forward_32(const float* z, const float* weights, const Level* levels, float* out, u32 rows, u32 stride,
                       u32 columns, u32 level_count, u32 still_cells) {
    SHARED_MEMORY(shared);
    forward<4>(z, weights, levels, out, rows, stride, columns, level_count, still_cells, shared);
}

KERNEL void forward_16(const float* z, const float* weights, const Level* levels, float* out, u32 rows, u32 stride,
                       u32 columns, u32 level_count, u32 still_cells) {
    SHARED_MEMORY(shared);
    forward<2>(z, weights, levels, out, rows, stride, columns, level_count, still_cells, shared);
}

KERNEL void forward_8(const float* z, const float* weights, const Level* levels, float* out, u32 rows, u32 stride,
                      u32 columns, u32 level_count, u32 still_cells) {
    SHARED_MEMORY(shared);
    forward<1>(z, weights, levels, out, rows, stride, columns, level_count, still_cells, shared);
}
