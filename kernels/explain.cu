// Whose surprise windows are, and what was expected of their last cells: what takes time of src/model/pyramid/explain.rs,
// in f64 and in its order, operation by operation, so that the device gives its bits.
//
// Shapes: `z` is rows x stride f32, a window's last cells (scored columns, cell-major, z units, NaN = missing, no infinity)
// at the END of its row. `values` holds what the `Densities` of levels point into; matrices lie transposed, so that
// threads read neighbours. `scratch` is rows x row_scratch f64. `blame` makes of each row, level and density, the single
// one first, four words of `chosen` (the columns to blame, the most telling first, else NONE, and their number) and
// `columns` shares; of a level without codes the second are not written. `expect` reads `chosen` of the level that
// `blamed[row]` names, if it is not NONE, and makes of each row and column {expectation, sd} of its last cell.
// A level lacks at most as many coordinates of a window as it has blocks.
// Grid: (rows, 2 levels) and (rows, columns), a block each; 128 threads; shared memory as `explain_shared_bytes` of
// src/backend/cuda/explain.rs counts it. `expect` follows `blame` on one stream, since they share scratch; else launches
// may run at once where neither outputs nor scratch overlap.
#include "solve.cuh"

// Offsets are in f64 from `values`; `scratch` is that of the first density in a row's, and `room` how much each has.
struct Densities {
    u32 dimension, pool, codes, mu;
    u32 precision, axes, search, search_bias;
    u32 offset, own_precision, scratch, room;
};

// The level's vector about its mean; NaN where a block has no cell.
__device__ inline void about_mean(const Densities& level, const double* values, const float* end, u32 columns,
                                  double* residual) {
    const u32 d = level.dimension, pool = level.pool;
    for (u32 at = threadIdx.x; at < d; at += THREADS) {
        const float* from = end - (size_t)d * pool + (size_t)(at / columns) * pool * columns + at % columns;
        float value = *from;
        if (pool > 1) {
            float sum = 0.0f, n = 0.0f;
            for (u32 cell = 0; cell < pool; cell++) {
                const float x = from[(size_t)cell * columns];
                if (x == x) sum += x, n += 1.0f;
            }
            value = sum / n;
        }
        residual[at] = (double)value - values[level.mu + at];
    }
    __syncthreads();
}

// `out[i] = sum over k of x[k] matrix[k][i]`, from `bias`, or `from` where there is none.
__device__ inline void times_matrix(const double* matrix, const double* bias, double from, u32 inputs, u32 outputs,
                                    const double* x, double* out) {
    for (u32 i = threadIdx.x; i < outputs; i += THREADS) {
        double sum = bias ? bias[i] : from;
        for (u32 k = 0; k < inputs; k++) sum += x[k] * matrix[(size_t)k * outputs + i];
        out[i] = sum;
    }
    __syncthreads();
}

// The first of the least.
__device__ inline u32 least_of(const double* x, u32 n) {
    double best = __longlong_as_double(0x7ff0000000000000ll);
    u32 place = 0;
    for (u32 i = 0; i < n; i++) {
        if (x[i] < best) best = x[i], place = i;
    }
    return place;
}

// Up to three columns, in the order they were chosen.
struct Chosen {
    u32 a, b, c, count;
};

__device__ inline Chosen nobody() { return {NONE, NONE, NONE, 0}; }

__device__ inline bool holds(const Chosen& of, u32 column) { return of.a == column || of.b == column || of.c == column; }

__device__ inline Chosen with(const Chosen& of, u32 column) {
    Chosen to = of;
    if (of.count == 0) to.a = column;
    if (of.count == 1) to.b = column;
    if (of.count == 2) to.c = column;
    to.count++;
    return to;
}

__device__ inline Chosen without(const Chosen& of, u32 column) {
    Chosen to = nobody();
    if (of.count > 0 && of.a != column) to = with(to, of.a);
    if (of.count > 1 && of.b != column) to = with(to, of.b);
    if (of.count > 2 && of.c != column) to = with(to, of.c);
    return to;
}

// A completed residual under one density.
struct Blamed {
    const double* precision;
    double* factor;
    Space space;
    u32 d, columns;
    double total;
};

// By how much the energy falls without these columns.
__device__ inline double part_of(const Blamed& of, const Chosen& columns) {
    const u32 n = columns.count * (of.d / of.columns);
    // NONE sorts last.
    const u32 low = at_most(columns.a, columns.b), high = columns.a + columns.b - low;
    const u32 least = at_most(low, columns.c), rest = low + columns.c - least;
    const u32 middle = at_most(high, rest), most = high + rest - middle;
    for (u32 i = threadIdx.x; i < n; i += THREADS) {
        const u32 which = i % columns.count;
        const u32 at = i / columns.count * of.columns + (which == 0 ? least : which == 1 ? middle : most);
        of.space.list[i] = at, of.space.given[i] = of.space.gradient[at];
    }
    __syncthreads();
    factorise(of.precision, of.d, n, of.factor, of.space);
    // Whoever solves another part waits for everyone before it writes this.
    return sum_of_squares(of.space.solved, n);
}

// Whether what remains is, without as many columns, which make up `part`.
__device__ inline bool is_ordinary(const Blamed& of, u32 count, double part) {
    const double left = (double)(of.d - count * (of.d / of.columns));
    return of.total - part <= left + 4.0 * sqrt(2.0 * left) + 1e-9 * of.total;
}

// `Blame::chosen` of src/model/pyramid/blame.rs.
__device__ inline Chosen choose(const Blamed& of) {
    Chosen chosen = nobody();
    double part = -0.0;
    while (!is_ordinary(of, chosen.count, part) && chosen.count < at_most(3, of.columns)) {
        u32 best = NONE;
        double most = 0.0;
        for (u32 column = 0; column < of.columns; column++) {
            if (holds(chosen, column)) continue;
            const double one = part_of(of, with(chosen, column));
            // The last of equals.
            if (best == NONE || one >= most) best = column, most = one;
        }
        chosen = with(chosen, best), part = most;
    }
    if (!is_ordinary(of, chosen.count, part)) return chosen;
    const Chosen all = chosen;
    for (u32 turn = 0; turn < all.count; turn++) {
        const Chosen fewer = without(chosen, turn == 0 ? all.a : turn == 1 ? all.b : all.c);
        if (chosen.count > 0 && is_ordinary(of, fewer.count, part_of(of, fewer))) chosen = fewer;
    }
    return chosen;
}

// `Blame::shares`.
__device__ inline void share_out(const Blamed& of, const Chosen& chosen, double* out) {
    double* shares = of.space.shares;
    for (u32 column = threadIdx.x; column < of.columns; column += THREADS) shares[column] = 0.0;
    __syncthreads();
    const double all = chosen.count == 0 ? 0.0 : part_of(of, chosen);
    for (u32 column = 0; column < of.columns; column++) {
        if (chosen.count > 0 && !holds(chosen, column)) continue;
        const Chosen fewer = without(chosen, column);
        const double one = chosen.count == 0 ? part_of(of, with(fewer, column)) : all - part_of(of, fewer);
        if (threadIdx.x == 0) shares[column] = one > 0.0 ? one : 0.0;
    }
    __syncthreads();
    double sum = -0.0;
    for (u32 column = 0; column < of.columns; column++) sum += shares[column];
    for (u32 column = threadIdx.x; column < of.columns; column += THREADS) {
        out[column] = sum > 0.0 ? shares[column] / sum : 0.0;
    }
}

KERNEL void blame(const float* z, const double* values, const Densities* levels, double* scratch, u32* chosen,
                  double* shares, u32 stride, u32 columns, u32 level_count, u32 row_scratch) {
    SHARED_MEMORY(shared);
    const u32 row = blockIdx.x, density = blockIdx.y % 2;
    const Densities level = levels[blockIdx.y / 2];
    const u32 d = level.dimension;
    if (density == 1 && level.codes == 0) return;
    const Space space = space_of(shared, d);
    double* own = scratch + (size_t)row * row_scratch + level.scratch + density * level.room;
    const float* end = z + (size_t)(row + 1) * stride;
    about_mean(level, values, end, columns, space.residual);
    const double* precision = values + level.precision;
    complete(precision, d, own, space);
    if (density == 1) {
        times_matrix(values + level.axes, 0, 0.0, d, d, space.residual, space.gradient);
        times_matrix(values + level.search, values + level.search_bias, 0.0, d, level.codes, space.gradient, own);
        const u32 code = least_of(own, level.codes);
        about_mean(level, values, end, columns, space.residual);
        for (u32 at = threadIdx.x; at < d; at += THREADS) {
            space.residual[at] -= values[level.offset + (size_t)code * d + at];
        }
        __syncthreads();
        precision = values + level.own_precision;
        complete(precision, d, own, space);
    }
    times_matrix(precision, 0, -0.0, d, d, space.residual, space.gradient);
    double total = -0.0;
    for (u32 at = 0; at < d; at++) total += space.residual[at] * space.gradient[at];
    const Blamed of = {precision, own, space, d, columns, total};
    const Chosen found = choose(of);
    const size_t place = (size_t)row * 2 * level_count + blockIdx.y;
    share_out(of, found, shares + place * columns);
    if (threadIdx.x == 0) ((uint4*)chosen)[place] = make_uint4(found.a, found.b, found.c, found.count);
}

KERNEL void expect(const float* z, const double* values, const Densities* levels, const u32* blamed, const u32* chosen,
                   double* scratch, double* expected, u32 stride, u32 columns, u32 level_count, u32 level_at,
                   u32 room, u32 row_scratch) {
    SHARED_MEMORY(shared);
    const u32 row = blockIdx.x, column = blockIdx.y;
    const Densities level = levels[level_at];
    const u32 d = level.dimension, last = d - columns + column;
    const Space space = space_of(shared, d);
    double* own = scratch + (size_t)row * row_scratch + (size_t)column * room;
    about_mean(level, values, z + (size_t)(row + 1) * stride, columns, space.residual);
    uint4 hidden = make_uint4(NONE, NONE, NONE, 0);
    if (blamed[row] != NONE) hidden = ((const uint4*)chosen)[((size_t)row * level_count + blamed[row]) * 2];
    for (u32 at = threadIdx.x; at < d; at += THREADS) {
        const u32 of = at % columns;
        const bool hides = at == last || of == hidden.x || of == hidden.y || of == hidden.z;
        if (hides) space.residual[at] = __longlong_as_double(0x7ff8000000000000ll);
    }
    __syncthreads();
    const u32 n = complete(values + level.precision, d, own, space);
    for (u32 i = threadIdx.x; i < n; i += THREADS) space.given[i] = space.list[i] == last ? 1.0 : 0.0;
    __syncthreads();
    solve_lower(own, n, space.given, space.solved);
    if (threadIdx.x > 0) return;
    double* to = expected + ((size_t)row * columns + column) * 2;
    to[0] = values[level.mu + last] + space.residual[last];
    to[1] = sqrt(sum_of_squares(space.solved, n));
}
