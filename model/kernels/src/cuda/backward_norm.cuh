// RMS norm, y = x s w with s = 1 / sqrt(mean(x²) + eps), forward and backward; and the embedding's rows and gradient.
// A warp takes a row and holds it in registers.
#pragma once
#include "backward_base.cuh"

constexpr int NORM_THREADS = 256, NORM_WARPS = NORM_THREADS / 32;
/// Rows of a block of the backward pass.
constexpr int NORM_ROWS = 64;

struct Norm {
    /// The residual stream, `[t, dp]`.
    const float* x;
    /// `[dp]`
    const float* weight;
    int tokens, dp;
    /// The true width, which the mean is over.
    int d;
    float eps;
};

/// A row's values that a lane holds: four in each 128 columns, PIECES times; zeros beyond the row.
template <int PIECES, class T> DEVICE void load_row(const T* row, int dp, int lane, float (&v)[PIECES][4]) {
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        const int column = i * 128 + lane * 4;
        if (column < dp) load4(row + column, v[i]);
        else v[i][0] = v[i][1] = v[i][2] = v[i][3] = 0.f;
    }
}

template <int PIECES> DEVICE float norm_scale(const Norm& p, const float (&x)[PIECES][4]) {
    float sum = 0.f;
#pragma unroll
    for (int i = 0; i < PIECES; i++) sum += (x[i][0] * x[i][0] + x[i][1] * x[i][1]) + (x[i][2] * x[i][2] + x[i][3] * x[i][3]);
    return 1.f / sqrtf(warp_sum(sum) / float(p.d) + p.eps);
}

/// y: `[t, dp]`, dp at most 128 PIECES.
template <class Out, int PIECES> DEVICE void norm_forward(const Norm& p, Out* y) {
    const int row = blockIdx.x * NORM_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= p.tokens) return;
    float x[PIECES][4], w[PIECES][4];
    load_row<PIECES>(p.x + size_t(row) * p.dp, p.dp, lane, x);
    load_row<PIECES>(p.weight, p.dp, lane, w);
    const float scale = norm_scale<PIECES>(p, x);
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
#pragma unroll
        for (int c = 0; c < 4; c++) x[i][c] = x[i][c] * scale * w[i][c];
        const int column = i * 128 + lane * 4;
        if (column < p.dp) store4(y + size_t(row) * p.dp + column, x[i]);
    }
}

/// dx = (add ? dx : 0) + s (w dy - x s mean(w dy x s)), and once more in S; a block's sums of dy x s, `[blocks, dp]`.
/// Dynamic shared memory: NORM_WARPS dp floats.
template <class In, class S, int PIECES>
DEVICE void norm_backward(const Norm& p, const In* dy, bool add, float* dx, S* dx_narrow, float* sums) {
    DYNAMIC_SHARED(dynamic);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float w[PIECES][4], sum[PIECES][4] = {};
    load_row<PIECES>(p.weight, p.dp, lane, w);
    for (int k = warp; k < NORM_ROWS; k += NORM_WARPS) {
        const int row = blockIdx.x * NORM_ROWS + k;
        if (row >= p.tokens) break;
        const size_t at = size_t(row) * p.dp;
        float x[PIECES][4], d[PIECES][4], out[PIECES][4] = {}, dot = 0.f;
        load_row<PIECES>(p.x + at, p.dp, lane, x);
        load_row<PIECES>(dy + at, p.dp, lane, d);
        if (add) load_row<PIECES>(dx + at, p.dp, lane, out);
        const float scale = norm_scale<PIECES>(p, x);
#pragma unroll
        for (int i = 0; i < PIECES; i++)
#pragma unroll
            for (int c = 0; c < 4; c++) dot += x[i][c] * d[i][c] * w[i][c];
        const float along = warp_sum(dot) * scale * scale * scale / float(p.d);
#pragma unroll
        for (int i = 0; i < PIECES; i++) {
#pragma unroll
            for (int c = 0; c < 4; c++) {
                out[i][c] += scale * w[i][c] * d[i][c] - along * x[i][c];
                sum[i][c] += d[i][c] * x[i][c] * scale;
            }
            const int column = i * 128 + lane * 4;
            if (column >= p.dp) continue;
            store4(dx + at + column, out[i]);
            store4(dx_narrow + at + column, out[i]);
        }
    }
    float* mine = reinterpret_cast<float*>(dynamic) + warp * p.dp;
#pragma unroll
    for (int i = 0; i < PIECES; i++)
        if (i * 128 + lane * 4 < p.dp) store4(mine + i * 128 + lane * 4, sum[i]);
    __syncthreads();
    for (int i = threadIdx.x; i < p.dp; i += NORM_THREADS) {
        const float* all = reinterpret_cast<const float*>(dynamic) + i;
        float total = 0.f;
        for (int k = 0; k < NORM_WARPS; k++) total += all[k * p.dp];
        sums[size_t(blockIdx.x) * p.dp + i] = total;
    }
}

/// rows: `[t, dp]`, of the table `[vocab, dp]`; a block a token.
DEVICE void embed(const float* table, const int* ids, int dp, float* rows) {
    const size_t from = size_t(ids[blockIdx.x]) * dp, to = size_t(blockIdx.x) * dp;
    for (int i = threadIdx.x; i < dp; i += blockDim.x) rows[to + i] = table[from + i];
}

/// Sums of chosen rows: `out[s] = sum of rows[order[cuts[s]]..order[cuts[s + 1]]]`, in that order (no order: the numbers
/// themselves); a block a sum. Twice over, it is the embedding's gradient.
DEVICE void sum_chosen(const float* rows, const int* order, const int* cuts, int dp, float* out) {
    const int begin = cuts[blockIdx.x], end = cuts[blockIdx.x + 1];
    for (int i = threadIdx.x; i < dp; i += blockDim.x) {
        float sum = 0.f;
#pragma unroll 8
        for (int k = begin; k < end; k++) sum += rows[size_t(order ? order[k] : k) * dp + i];
        out[size_t(blockIdx.x) * dp + i] = sum;
    }
}
