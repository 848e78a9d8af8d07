// Norms of rows, the way in (embedding) and small element-wise steps. One warp a row wherever a row is summed: lane i takes
// columns 4 i, 4 (i + 32), .. and the lanes' sums are added by a butterfly, so a row's bits depend on nothing else.
#include "common.cuh"

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int w = 16; w >= 1; w >>= 1) x += __shfl_xor_sync(~0u, x, w);
    return x;
}

struct Norm {
    const Wave* wave;
    const float* x;       // [rows, d]: the residual stream
    const float* weight;  // [d]
    const float* bias;    // [d], or none
    void* y;              // [rows, d]
    int d;
    float eps;
    int centered;  // layer norm
};

// V columns a lane and turn: four where d is a multiple of four, else one.
template <class T, int V> __device__ __forceinline__ void norm(const Norm& p) {
    const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= p.wave->rows) return;
    const float* x = p.x + (size_t)row * p.d;
    float mean = 0.f;
    if (p.centered) {
        float sum = 0.f;
        for (int c = lane * V; c < p.d; c += 32 * V) {
#pragma unroll
            for (int v = 0; v < V; v++) sum += x[c + v];
        }
        mean = warp_sum(sum) / p.d;
    }
    float squares = 0.f;
    for (int c = lane * V; c < p.d; c += 32 * V) {
        float w[V];
        if constexpr (V == 4) {
            *reinterpret_cast<float4*>(w) = *reinterpret_cast<const float4*>(x + c);
        } else {
            w[0] = x[c];
        }
#pragma unroll
        for (int v = 0; v < V; v++) w[v] -= mean;
#pragma unroll
        for (int v = 0; v < V; v++) squares = fmaf(w[v], w[v], squares);
    }
    const float scale = 1.f / sqrtf(warp_sum(squares) / p.d + p.eps);
    T* y = (T*)p.y + (size_t)row * p.d;
    for (int c = lane * V; c < p.d; c += 32 * V) {
        float value[V];
#pragma unroll
        for (int v = 0; v < V; v++) {
            value[v] = (x[c + v] - mean) * scale * p.weight[c + v];
            if (p.bias) value[v] += p.bias[c + v];
        }
        if constexpr (V == 4 && sizeof(T) == 2) {
            *reinterpret_cast<uint2*>(y + c) = make_uint2(pack(value[0], value[1]), pack(value[2], value[3]));
        } else if constexpr (V == 4) {
            *reinterpret_cast<float4*>(y + c) = *reinterpret_cast<const float4*>(value);
        } else {
            y[c] = from<T>(value[0]);
        }
    }
}
#define NORM(NAME, T, V) \
    extern "C" __global__ void __launch_bounds__(128) NAME(const Norm p) { norm<T, V>(p); }
NORM(norm_bf16, bf16, 4)
NORM(norm_f32, float, 4)
NORM(norm_any_bf16, bf16, 1)
NORM(norm_any_f32, float, 1)

// x[row] = table[token[row]]; the table is [vocab, d] in f32 or bf16.
template <class T> __device__ __forceinline__ void embed(const Wave* wave, const uint32_t* tokens, const T* table, float* x, int d) {
    const int row = blockIdx.x;
    if (row >= wave->rows) return;
    const T* from = table + (size_t)tokens[row] * d;
    for (int c = threadIdx.x; c < d; c += blockDim.x) x[(size_t)row * d + c] = f32(from[c]);
}
extern "C" __global__ void embed_bf16(const Wave* wave, const uint32_t* tokens, const bf16* table, float* x, int d) {
    embed(wave, tokens, table, x, d);
}
extern "C" __global__ void embed_f32(const Wave* wave, const uint32_t* tokens, const float* table, float* x, int d) {
    embed(wave, tokens, table, x, d);
}

// Weightless RMS norms of dt, B and C (Falcon-Mamba), in place; a warp a row.
template <class T> __device__ __forceinline__ void rms_plain(T* x, int n, float eps, int lane) {
    float squares = 0.f;
    for (int c = lane; c < n; c += 32) squares = fmaf(f32(x[c]), f32(x[c]), squares);
    const float scale = 1.f / sqrtf(warp_sum(squares) / n + eps);
    for (int c = lane; c < n; c += 32) x[c] = from<T>(f32(x[c]) * scale);
}
template <class T>
__device__ __forceinline__ void norm_dt_bc(const Wave* wave, T* dt, int r, int ld, float* bc, int n, float eps) {
    const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= wave->rows) return;
    rms_plain(dt + (size_t)row * ld, r, eps, lane);
    rms_plain(bc + (size_t)row * 2 * n, n, eps, lane);
    rms_plain(bc + (size_t)row * 2 * n + n, n, eps, lane);
}
extern "C" __global__ void norm_dt_bc_bf16(const Wave* wave, bf16* dt, int r, int ld, float* bc, int n, float eps) {
    norm_dt_bc(wave, dt, r, ld, bc, n, eps);
}
extern "C" __global__ void norm_dt_bc_f32(const Wave* wave, float* dt, int r, int ld, float* bc, int n, float eps) {
    norm_dt_bc(wave, dt, r, ld, bc, n, eps);
}

// y silu(gate), y and gate the halves of a row of 2 h: [rows, 2 h] to [rows, h].
template <class T> __device__ __forceinline__ void gate(const Wave* wave, const T* both, int ld, T* y, int h) {
    const int row = blockIdx.y, c = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= wave->rows || c >= h) return;
    const T* from_row = both + (size_t)row * ld;
    y[(size_t)row * h + c] = from<T>(f32(from_row[c]) * Maths<T>::silu(f32(from_row[h + c])));
}
extern "C" __global__ void gate_bf16(const Wave* wave, const bf16* both, int ld, bf16* y, int h) { gate(wave, both, ld, y, h); }
extern "C" __global__ void gate_f32(const Wave* wave, const float* both, int ld, float* y, int h) { gate(wave, both, ld, y, h); }

// Mamba-2's gated norm of y [rows, d_in] in groups, or its plain gate; a warp a group of a row. z lies in rows of `ld`.
struct GatedNorm {
    const Wave* wave;
    const float* y;       // [rows, d_in]: before rounding
    const void* z;
    const float* weight;  // [d_in], or none: the gate alone
    void* out;            // [rows, d_in]
    int d_in, groups, ld;
    float eps;
    int norm_first;
};
template <class T> __device__ __forceinline__ void gated_norm(const GatedNorm& p) {
    const int i = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row = i / p.groups, width = p.d_in / p.groups, c0 = i % p.groups * width;
    if (row >= p.wave->rows) return;
    const float* y = p.y + (size_t)row * p.d_in + c0;
    const T* z = (const T*)p.z + (size_t)row * p.ld + c0;
    T* out = (T*)p.out + (size_t)row * p.d_in + c0;
    float scale = 1.f;
    if (p.weight) {
        float squares = 0.f;
        for (int c = lane; c < width; c += 32) {
            float v = p.norm_first ? y[c] : y[c] * Maths<T>::silu(f32(z[c]));
            squares = fmaf(v, v, squares);
        }
        scale = 1.f / sqrtf(warp_sum(squares) / width + p.eps);
    }
    for (int c = lane; c < width; c += 32) {
        float s = Maths<T>::silu(f32(z[c])), w = p.weight ? p.weight[c0 + c] : 1.f;
        float v = p.norm_first ? y[c] * scale * w * s : y[c] * s * scale * w;
        out[c] = from<T>(v);
    }
}
extern "C" __global__ void gated_norm_bf16(const GatedNorm p) { gated_norm<bf16>(p); }
extern "C" __global__ void gated_norm_f32(const GatedNorm p) { gated_norm<float>(p); }
