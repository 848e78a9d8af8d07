// RMS norm, y = x s w with s = 1 / sqrt(mean(x²) + eps), forward and backward; and the embedding's rows and gradient.
// A warp takes a row.
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

DEVICE float norm_scale(const Norm& p, const float* x, int lane) {
    float sum = 0.f, v[4];
    for (int i = lane * 4; i < p.dp; i += 128) {
        load4(x + i, v);
        sum += (v[0] * v[0] + v[1] * v[1]) + (v[2] * v[2] + v[3] * v[3]);
    }
    return 1.f / sqrtf(warp_sum(sum) / float(p.d) + p.eps);
}

/// y: `[t, dp]`
template <class Out> DEVICE void norm_forward(const Norm& p, Out* y) {
    const int row = blockIdx.x * NORM_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= p.tokens) return;
    const float* x = p.x + size_t(row) * p.dp;
    const float scale = norm_scale(p, x, lane);
    for (int i = lane * 4; i < p.dp; i += 128) {
        float v[4], w[4];
        load4(x + i, v);
        load4(p.weight + i, w);
#pragma unroll
        for (int c = 0; c < 4; c++) v[c] = v[c] * scale * w[c];
        store4(y + size_t(row) * p.dp + i, v);
    }
}

/// dx = (add ? dx : 0) + s (w dy - x s mean(w dy x s)), and once more in S; a block's sums of dy x s, `[blocks, dp]`.
/// Dynamic shared memory: NORM_WARPS dp floats.
template <class In, class S> DEVICE void norm_backward(const Norm& p, const In* dy, bool add, float* dx, S* dx_narrow, float* sums) {
    DYNAMIC_SHARED(dynamic);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float* mine = reinterpret_cast<float*>(dynamic) + warp * p.dp;
    for (int i = lane * 4; i < p.dp; i += 128) *reinterpret_cast<float4*>(mine + i) = float4{0, 0, 0, 0};
    for (int k = warp; k < NORM_ROWS; k += NORM_WARPS) {
        const int row = blockIdx.x * NORM_ROWS + k;
        if (row >= p.tokens) break;
        const size_t at = size_t(row) * p.dp;
        const float scale = norm_scale(p, p.x + at, lane);
        float dot = 0.f, x[4], d[4], w[4];
        for (int i = lane * 4; i < p.dp; i += 128) {
            load4(p.x + at + i, x), load4(dy + at + i, d), load4(p.weight + i, w);
#pragma unroll
            for (int c = 0; c < 4; c++) dot += x[c] * d[c] * w[c];
        }
        const float along = warp_sum(dot) * scale * scale * scale / float(p.d);
        for (int i = lane * 4; i < p.dp; i += 128) {
            float out[4] = {}, sum[4];
            load4(p.x + at + i, x), load4(dy + at + i, d), load4(p.weight + i, w);
            load4(mine + i, sum);
            if (add) load4(dx + at + i, out);
#pragma unroll
            for (int c = 0; c < 4; c++) {
                out[c] += scale * w[c] * d[c] - along * x[c];
                sum[c] += d[c] * x[c] * scale;
            }
            store4(dx + at + i, out);
            store4(dx_narrow + at + i, out);
            store4(mine + i, sum);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < p.dp; i += NORM_THREADS) {
        const float* all = reinterpret_cast<const float*>(dynamic) + i;
        float sum = 0.f;
        for (int k = 0; k < NORM_WARPS; k++) sum += all[k * p.dp];
        sums[size_t(blockIdx.x) * p.dp + i] = sum;
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
