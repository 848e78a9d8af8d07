// AdamW with clipped gradients and a running average of the weights; sums in f64, in an order that the length fixes.
#pragma once
#include "backward_base.cuh"

constexpr int ADAM_THREADS = 256;
/// Values of a block of `sum_blocks_f64`.
constexpr int ADAM_SUMMED = 8192;

/// What a step leaves for the host, and for itself.
struct Report {
    /// Sums since the host last looked: of losses, of gradients' norms, the largest norm, steps left out.
    double loss, norms, largest, skipped;
    /// Of this step: the gradient's norm.
    double norm;
};

/// A block's sum over its threads, in the first one.
DEVICE double block_sum(double sum) {
    __shared__ double partial[ADAM_THREADS];
    partial[threadIdx.x] = sum;
    for (int half = ADAM_THREADS / 2; half >= 1; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    }
    __syncthreads();
    return partial[0];
}

/// Sums of values, or of their squares, ADAM_SUMMED at a time.
DEVICE void sum_f64(const float* values, int count, bool squares, double* sums) {
    const int first = blockIdx.x * ADAM_SUMMED, last = min(count, first + ADAM_SUMMED);
    double sum = 0.;
    for (int i = first + threadIdx.x; i < last; i += ADAM_THREADS) {
        const double v = values[i];
        sum += squares ? v * v : v;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// One block: the loss of a batch joins the report.
DEVICE void report_loss(const double* sums, int count, Report* report) {
    double sum = 0.;
    for (int i = threadIdx.x; i < count; i += ADAM_THREADS) sum += sums[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) report->loss += sum;
}

/// One block: the gradient's norm.
DEVICE void report_norm(const double* sums, int count, Report* report) {
    double sum = 0.;
    for (int i = threadIdx.x; i < count; i += ADAM_THREADS) sum += sums[i];
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    const double norm = sqrt(sum);
    report->norm = norm;
    if (!isfinite(norm)) {
        report->skipped += 1.;
        return;
    }
    report->norms += norm;
    report->largest = fmax(report->largest, norm);
}

struct Adam {
    float *weights, *m, *v, *average;
    const float* gradients;
    /// Whether weights decay, byte by byte.
    const uint8_t* decays;
    const Report* report;
    int count;
    float rate, beta1, beta2, eps, decay;
    /// 1 - beta^step.
    float correction1, correction2;
    /// Norm to which gradients are clipped.
    float clip;
    /// What of the average stays.
    float keep;
};

DEVICE void adam(const Adam& p) {
    const int i = blockIdx.x * ADAM_THREADS + threadIdx.x;
    if (i >= p.count || !isfinite(p.report->norm)) return;
    const float shrink = fminf(1.f, p.clip / (float(p.report->norm) + 1e-6f));
    const float g = p.gradients[i] * shrink;
    const float m = p.beta1 * p.m[i] + (1.f - p.beta1) * g, v = p.beta2 * p.v[i] + (1.f - p.beta2) * g * g;
    float w = p.weights[i];
    if (p.decays[i]) w -= p.rate * p.decay * w;
    w -= p.rate * (m / p.correction1) / (sqrtf(v / p.correction2) + p.eps);
    p.m[i] = m, p.v[i] = v, p.weights[i] = w;
    p.average[i] += (1.f - p.keep) * (w - p.average[i]);
}

/// a += b
DEVICE void add_to(float* a, const float* b, int count) {
    const int i = blockIdx.x * ADAM_THREADS + threadIdx.x;
    if (i < count) a[i] += b[i];
}
