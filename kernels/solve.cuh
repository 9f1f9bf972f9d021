// Solutions with a density's precision, in f64: those of src/model/pyramid/marginal.rs, operation by operation. What is a chain
// there is one here; what does not wait for another is spread over the threads of a block.
#pragma once

#include "common.cuh"

// Of a block, in shared memory: as many values as a level has coordinates, and one more number.
struct Space {
    double *residual, *gradient, *given, *solved, *shares;
    u32* list;
};

__device__ inline Space space_of(float4* shared, u32 d) {
    double* first = (double*)shared;
    return {first, first + d, first + 2 * d, first + 3 * d, first + 4 * d, (u32*)(first + 5 * d)};
}

// Column `k` of a lower triangle of `n` rows, whose columns lie end to end: its `i`th value is that of row `i >= k`.
__device__ inline double* column_of(double* factor, u32 k, u32 n) {
    return factor + (size_t)k * (2 * n - k - 1) / 2;
}

// `L L' = P_AA`, A the coordinates in the list, and on the way `solved = L^-1 given`, which leaves nothing of `given`.
__device__ inline void factorise(const double* precision, u32 d, u32 n, double* factor, const Space& space) {
    const double LEAST = 2.2250738585072014e-308;
    const u32* list = space.list;
    for (u32 j = 0; j < n; j++) {
        double* of_j = column_of(factor, j, n);
        for (u32 i = j + threadIdx.x; i < n; i += THREADS) {
            double sum = -0.0;
            for (u32 k = 0; k < j; k++) {
                const double* of_k = column_of(factor, k, n);
                sum += of_k[i] * of_k[j];
            }
            const double rest = precision[(size_t)list[j] * d + list[i]] - sum;
            of_j[i] = i > j ? rest : sqrt(rest > LEAST ? rest : LEAST);
        }
        __syncthreads();
        const double value = space.given[j] / of_j[j];
        for (u32 i = j + 1 + threadIdx.x; i < n; i += THREADS) {
            of_j[i] = of_j[i] / of_j[j];
            space.given[i] -= of_j[i] * value;
        }
        if (threadIdx.x == 0) space.solved[j] = value;
        __syncthreads();
    }
}

// `x = L^-1 b`, which leaves nothing of `b`.
__device__ inline void solve_lower(double* factor, u32 n, double* b, double* x) {
    for (u32 j = 0; j < n; j++) {
        const double* of_j = column_of(factor, j, n);
        const double value = b[j] / of_j[j];
        for (u32 i = j + 1 + threadIdx.x; i < n; i += THREADS) b[i] -= of_j[i] * value;
        if (threadIdx.x == 0) x[j] = value;
        __syncthreads();
    }
}

// `x = L'^-1 b`, likewise.
__device__ inline void solve_upper(double* factor, u32 n, double* b, double* x) {
    for (u32 i = n; i-- > 0;) {
        const double value = b[i] / column_of(factor, i, n)[i];
        for (u32 k = threadIdx.x; k < i; k += THREADS) b[k] -= column_of(factor, k, n)[i] * value;
        if (threadIdx.x == 0) x[i] = value;
        __syncthreads();
    }
}

__device__ inline double sum_of_squares(const double* x, u32 n) {
    double sum = -0.0;
    for (u32 i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

// Puts what is expected given the rest in the place of what is NaN; gives how many these are. List and factor stay.
__device__ inline u32 complete(const double* precision, u32 d, double* factor, const Space& space) {
    if (threadIdx.x == 0) {
        u32 n = 0;
        for (u32 at = 0; at < d; at++) {
            if (space.residual[at] != space.residual[at]) space.list[n++] = at;
        }
        space.list[d] = n;
    }
    __syncthreads();
    const u32 n = space.list[d];
    for (u32 i = threadIdx.x; i < n; i += THREADS) space.residual[space.list[i]] = 0.0;
    __syncthreads();
    for (u32 i = threadIdx.x; i < n; i += THREADS) {
        double sum = -0.0;
        for (u32 k = 0; k < d; k++) sum += precision[(size_t)k * d + space.list[i]] * space.residual[k];
        space.given[i] = sum;
    }
    factorise(precision, d, n, factor, space);
    solve_upper(factor, n, space.solved, space.given);
    for (u32 i = threadIdx.x; i < n; i += THREADS) space.residual[space.list[i]] = -space.given[i];
    __syncthreads();
    return n;
}
