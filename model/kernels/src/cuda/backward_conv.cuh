// Causal depthwise convolution and SiLU, forward and backward:
// u[t] = silu(v[t]), v[t] = b + sum over j of w[j] x[t - (K - 1) + j], where x is 0 before a sequence's start.
//
// K is 4 or 8; a shorter filter has zeros in front. A thread walks a run of tokens in a few channels, with the last K rows
// in registers.
#pragma once
#include "backward_base.cuh"

constexpr int CONV_THREADS = 256;
/// Tokens of a run, forward and backward.
constexpr int CONV_RUN = 8, CONV_BACK_RUN = 32;

template <class S> struct Conv {
    /// Rows `2 ip` wide, of which x is the first half.
    const S* x;
    /// `[K, ip]`, then the bias, `[ip]`.
    const float* taps;
    /// The first token of each token's sequence and the one after its last, `[t]`, `[t]`.
    const int *begins, *ends;
    int tokens, ip;
};

/// u: `[t, ip]`
template <class S, int K> DEVICE void conv_forward(const Conv<S>& p, S* u) {
    const int octets = p.ip / 8, index = blockIdx.x * CONV_THREADS + threadIdx.x, channel = index % octets * 8;
    const int first = index / octets * CONV_RUN, last = min(first + CONV_RUN, p.tokens);
    if (first >= p.tokens) return;
    float taps[K][8], bias[8], x[K][8]; // x[K - 1] is the present
#pragma unroll
    for (int j = 0; j < K; j++) load8(p.taps + j * p.ip + channel, taps[j]);
    load8(p.taps + K * p.ip + channel, bias);
#pragma unroll
    for (int j = 1; j < K; j++) {
        const int t = first - K + j;
        load8(p.x + size_t(max(t, 0)) * 2 * p.ip + channel, x[j]);
    }
#pragma unroll
    for (int i = 0; i < CONV_RUN; i++) {
        const int t = first + i;
        if (t >= last) break;
        const int seen = t - p.begins[t];
        float v[8];
#pragma unroll
        for (int c = 0; c < 8; c++) {
#pragma unroll
            for (int j = 0; j + 1 < K; j++) x[j][c] = x[j + 1][c];
            v[c] = bias[c];
        }
        load8(p.x + size_t(t) * 2 * p.ip + channel, x[K - 1]);
#pragma unroll
        for (int j = 0; j < K; j++)
#pragma unroll
            for (int c = 0; c < 8; c++) v[c] += K - 1 - j <= seen ? taps[j][c] * x[j][c] : 0.f;
#pragma unroll
        for (int c = 0; c < 8; c++) v[c] *= sigmoid(v[c]);
        store8(u + size_t(t) * p.ip + channel, v);
    }
}

/// dx into the first half of the rows of dxz, `[t, 2 ip]`, from du, `[t, ip]`; a run's sums for the filters and the bias,
/// `[runs, K + 1, ip]`. dx[t] = sum over the tokens t + later of its sequence of w[K - 1 - later] dv[t + later].
template <class S, int K> DEVICE void conv_backward(const Conv<S>& p, const S* du, S* dxz, float* sums) {
    const int quads = p.ip / 4, index = blockIdx.x * CONV_THREADS + threadIdx.x, channel = index % quads * 4;
    const int run = index / quads, first = run * CONV_BACK_RUN, last = min(first + CONV_BACK_RUN, p.tokens);
    if (first >= p.tokens) return;
    float taps[K][4], bias[4], x[K][4], dv[K][4] = {}, d_taps[K][4] = {}, d_bias[4] = {};
#pragma unroll
    for (int j = 0; j < K; j++) load4(p.taps + j * p.ip + channel, taps[j]);
    load4(p.taps + K * p.ip + channel, bias);
#pragma unroll
    for (int j = 1; j < K; j++) {
        const int t = first - K + j;
        load4(p.x + size_t(max(t, 0)) * 2 * p.ip + channel, x[j]);
    }
    float x_next[4] = {}, d_next[4] = {};
    auto fetch = [&](int s) { // a token ahead, so that nobody waits for it
        if (s >= p.tokens) return;
        load4(p.x + size_t(s) * 2 * p.ip + channel, x_next);
        load4(du + size_t(s) * p.ip + channel, d_next);
    };
    fetch(first);
    for (int s = first; s < last + K - 1; s++) {
        float d[4];
#pragma unroll
        for (int c = 0; c < 4; c++) {
#pragma unroll
            for (int j = 0; j + 1 < K; j++) x[j][c] = x[j + 1][c], dv[j][c] = dv[j + 1][c];
            x[K - 1][c] = x_next[c], d[c] = d_next[c];
        }
        fetch(s + 1);
        if (s < p.tokens) {
            const int seen = s - p.begins[s];
#pragma unroll
            for (int c = 0; c < 4; c++) {
                float v = bias[c];
#pragma unroll
                for (int j = 0; j < K; j++) v += K - 1 - j <= seen ? taps[j][c] * x[j][c] : 0.f;
                const float sig = sigmoid(v);
                dv[K - 1][c] = d[c] * sig * (1.f + v * (1.f - sig));
            }
            if (s < last) {
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    d_bias[c] += dv[K - 1][c];
#pragma unroll
                    for (int j = 0; j < K; j++) d_taps[j][c] += K - 1 - j <= seen ? dv[K - 1][c] * x[j][c] : 0.f;
                }
            }
        }
        const int t = s - (K - 1); // dv[j] is of token t + j
        if (t < first) continue;
        const int left = p.ends[t] - t;
        float dx[4] = {};
#pragma unroll
        for (int j = 0; j < K; j++)
#pragma unroll
            for (int c = 0; c < 4; c++) dx[c] += j < left ? taps[K - 1 - j][c] * dv[j][c] : 0.f;
        store4(dxz + size_t(t) * 2 * p.ip + channel, dx);
    }
    float* to = sums + size_t(run) * (K + 1) * p.ip + channel;
#pragma unroll
    for (int j = 0; j < K; j++) store4(to + j * p.ip, d_taps[j]);
    store4(to + K * p.ip, d_bias);
}

/// begins and ends of every token; a thread for each. offsets: `[sequences + 1]`.
DEVICE void token_bounds(const int* offsets, int sequences, int tokens, int* begins, int* ends) {
    const int t = blockIdx.x * CONV_THREADS + threadIdx.x;
    if (t >= tokens) return;
    int low = 0, high = sequences; // offsets[low] <= t < offsets[high]
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (offsets[middle] <= t) low = middle;
        else high = middle;
    }
    begins[t] = offsets[low];
    ends[t] = offsets[high];
}
