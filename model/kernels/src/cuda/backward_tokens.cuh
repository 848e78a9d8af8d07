// What a model of tokens has after its backbone: the cross-entropy of the next token's probabilities.
#pragma once
#include "backward_base.cuh"

constexpr int TOKEN_THREADS = 256;

/// The loss of a batch's tokens. Of the outputs `first .. first + count` are told apart.
struct CrossEntropy {
    /// `[t, width]`
    const float* outputs;
    /// Which output is right, counted from `first`; none where negative. `[t]`
    const int* targets;
    /// What a token's term weighs, `[t]`.
    const float* weights;
    /// `[t]`
    float* losses;
    int tokens, width, first, count;
};

/// -log2 of the right output's share of the softmax, weighed; and its gradient for the outputs. A thread takes a token.
template <class S> DEVICE void cross_entropy(const CrossEntropy& p, S* d_outputs) {
    const int t = blockIdx.x * TOKEN_THREADS + threadIdx.x;
    if (t >= p.tokens) return;
    const float* outputs = p.outputs + size_t(t) * p.width + p.first;
    S* gradients = d_outputs + size_t(t) * p.width;
    const int target = p.targets[t];
    const float weight = target < 0 ? 0.f : p.weights[t] * LOG2E;
    float most = outputs[0], sum = 0.f;
    for (int i = 1; i < p.count; i++) most = fmaxf(most, outputs[i]);
    for (int i = 0; i < p.count; i++) sum += expf(outputs[i] - most);
    p.losses[t] = target < 0 ? 0.f : weight * (most - outputs[target] + logf(sum));
    for (int i = 0; i < p.width; i++) {
        const int output = i - p.first;
        float gradient = 0.f;
        if (output >= 0 && output < p.count)
            gradient = weight * (expf(outputs[output] - most) / sum - (output == target ? 1.f : 0.f));
        gradients[i] = narrow(gradient, S());
    }
}
