// Sums in a fixed order, and the small kernels that prepare weights.
#pragma once
#include "backward_base.cuh"

constexpr int SUM_COLUMNS = 32, SUM_LANES = 16;
/// Rows of a block of `sum_columns`.
constexpr int SUM_ROWS = 512;

/// The sum of rows[first..last] of `width` values, column by column: lane by lane in steps of SUM_LANES, then over lanes.
/// A block of SUM_COLUMNS x SUM_LANES threads; the result is left with the first lane.
template <class S> DEVICE float ordered_sum(const S* rows, size_t stride, int column, int width, int first, int last) {
    __shared__ float partial[SUM_LANES][SUM_COLUMNS];
    const int lane = threadIdx.x / SUM_COLUMNS, place = threadIdx.x % SUM_COLUMNS;
    float sum = 0.f;
    if (column < width) {
#pragma unroll 8
        for (int row = first + lane; row < last; row += SUM_LANES) sum += widen(rows[row * stride + column]);
    }
    partial[lane][place] = sum;
    __syncthreads();
    if (lane == 0)
        for (int k = 1; k < SUM_LANES; k++) sum += partial[k][place];
    return sum;
}

/// out[i] = sum over the parts of parts[.., i], `[parts, width]`.
DEVICE void sum_parts(const float* parts, int count, int width, float* out) {
    const int column = blockIdx.x * SUM_COLUMNS + threadIdx.x % SUM_COLUMNS;
    const float sum = ordered_sum(parts, width, column, width, 0, count);
    if (threadIdx.x < SUM_COLUMNS && column < width) out[column] = sum;
}

/// As `sum_parts`, for few parts of many values: a thread four columns.
DEVICE void sum_few_parts(const float* parts, int count, int width, float* out) {
    const int column = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (column >= width) return;
    float sum[4] = {};
#pragma unroll 8
    for (int k = 0; k < count; k++) {
        float v[4];
        load4(parts + size_t(k) * width + column, v);
#pragma unroll
        for (int c = 0; c < 4; c++) sum[c] += v[c];
    }
    store4(out + column, sum);
}

/// Sums of SUM_ROWS rows each, for `sum_parts`: `[blocks, width]`. rows: `[t, width]`.
template <class S> DEVICE void sum_columns(const S* rows, int tokens, int width, float* out) {
    const int column = blockIdx.x * SUM_COLUMNS + threadIdx.x % SUM_COLUMNS, first = blockIdx.y * SUM_ROWS;
    const float sum = ordered_sum(rows, width, column, width, first, min(first + SUM_ROWS, tokens));
    if (threadIdx.x < SUM_COLUMNS && column < width) out[size_t(blockIdx.y) * width + column] = sum;
}

/// dB and dC, the sums over the blocks of channels, into the ends of rows: `[blocks, t, count]` to `[t, width]`.
template <class S> DEVICE void sum_blocks(const float* dbc, int blocks, int tokens, int count, int width, S* rows) {
    const size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x, all = size_t(tokens) * count;
    if (i >= all) return;
    float sum = 0.f;
    for (int k = 0; k < blocks; k++) sum += dbc[k * all + i];
    rows[i / count * width + width - count + i % count] = narrow(sum, S());
}

/// a log2(e) where a = -e^a_log.
DEVICE void decay_rates(const float* a_log, int count, float* a) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) a[i] = -expf(a_log[i]) * LOG2E;
}

DEVICE void narrow_all(const float* from, int count, bf16* to) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = narrow(from[i], bf16());
}
