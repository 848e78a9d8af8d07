// What a series model has around its backbone: SiLU of the two-layer networks, and the quantile loss of the head.
#pragma once
#include "backward_base.cuh"

constexpr int SERIES_THREADS = 256;

/// y = x sigmoid(x), eight values a thread.
template <class S> DEVICE void silu_forward(const S* x, size_t count, S* y) {
    const size_t at = (size_t(blockIdx.x) * SERIES_THREADS + threadIdx.x) * 8;
    if (at >= count) return;
    float v[8];
    load8(x + at, v);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] *= sigmoid(v[i]);
    store8(y + at, v);
}

/// dx = dy s (1 + x (1 - s)) with s = sigmoid(x); dx may be dy.
template <class S> DEVICE void silu_backward(const S* x, const S* dy, size_t count, S* dx) {
    const size_t at = (size_t(blockIdx.x) * SERIES_THREADS + threadIdx.x) * 8;
    if (at >= count) return;
    float v[8], g[8];
    load8(x + at, v);
    load8(dy + at, g);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float s = sigmoid(v[i]);
        g[i] *= s * (1.f + v[i] * (1.f - s));
    }
    store8(dx + at, g);
}

/// The loss of a batch's patches. A patch's outputs are quantiles of `reach` values in units of their own:
/// asinh((value - anchor) / step).
struct Quantiles {
    /// `[t, stride]`, of which `reach * levels` are outputs.
    const float* outputs;
    /// `[levels]`
    const float* levels;
    /// All windows' values, and of each whether it is known (bit 0) and whether the model saw it (bit 1).
    const float* values;
    const uint8_t* marks;
    /// The place of the first output's value, `[t]`; and what it is measured in.
    const int* firsts;
    const float *anchors, *steps;
    /// What a patch's terms weigh, `[t]`.
    const float* weights;
    /// `[t]`
    float* losses;
    int tokens, reach, count, stride;
    /// So many of the first outputs are of the patch itself: they count where the model did not see the value.
    int within;
};

/// The mean over the levels q of max(q e, (q - 1) e), e = value - output, weighed and summed over a patch's outputs; and its
/// gradient for the outputs. A block takes a patch.
template <class S> DEVICE void quantile_loss(const Quantiles& p, S* d_outputs) {
    __shared__ float partial[SERIES_THREADS / 32];
    const int t = blockIdx.x, first = p.firsts[t];
    const float anchor = p.anchors[t], step = p.steps[t], weight = p.weights[t] / float(p.count);
    const float* outputs = p.outputs + size_t(t) * p.stride;
    S* gradients = d_outputs + size_t(t) * p.stride;
    float sum = 0.f;
    for (int i = threadIdx.x; i < p.stride; i += SERIES_THREADS) {
        const int ahead = i / p.count;
        float gradient = 0.f;
        if (ahead < p.reach && weight > 0.f) {
            const int mark = p.marks[first + ahead];
            if ((mark & 1) && !(ahead < p.within && (mark & 2))) {
                const float level = p.levels[i % p.count];
                const float e = asinhf((p.values[first + ahead] - anchor) / step) - outputs[i];
                gradient = weight * (e > 0.f ? -level : 1.f - level);
                sum -= gradient * e;
            }
        }
        gradients[i] = narrow(gradient, S());
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < SERIES_THREADS / 32; warp++) sum += partial[warp];
        p.losses[t] = sum;
    }
}
