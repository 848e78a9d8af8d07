// C = A W^T + bias on the plain units: the f32 route's products, and every shape that gemm.cu does not take. Each output is
// one chain of fused multiply-adds along k, in order, whatever the tile: a row's bits depend on nothing else.
// W is stored as [k, n], so that neighbours in a row of C read neighbours of W.
#include "common.cuh"

struct Linear {
    const Wave* wave;
    const void* a;      // [rows, lda]
    const void* w;      // [k, n]
    const float* bias;  // [n], or none
    void* c;
    void* c2;  // SPLIT: the columns from `split` on, f32
    int n, k, lda, ldc, ldc2, split;
    int where;  // as in gemm.cu: 0 store as the route's type, 1 f32 +=, 2 split, 3 f32; 4 store its SiLU
};

template <int N> __device__ __forceinline__ void take(float (&to)[N], const float* from, int apart) {
    constexpr int V = N < 4 ? N : 4;
#pragma unroll
    for (int i = 0; i < N / V; i++) {
        const float* at = from + i * apart;
        if constexpr (V == 4) {
            *reinterpret_cast<float4*>(&to[i * 4]) = *reinterpret_cast<const float4*>(at);
        } else if constexpr (V == 2) {
            *reinterpret_cast<float2*>(&to[i * 2]) = *reinterpret_cast<const float2*>(at);
        } else {
            to[i] = *at;
        }
    }
}

template <class T> __device__ __forceinline__ void put(const Linear& p, int r, int col, float sum) {
    const float v = p.bias ? sum + p.bias[col] : sum;
    const size_t at = (size_t)r * p.ldc + col;
    if (p.where == 0 || (p.where == 2 && col < p.split)) {
        ((T*)p.c)[at] = from<T>(v);
    } else if (p.where == 2) {
        ((float*)p.c2)[(size_t)r * p.ldc2 + col - p.split] = v;
    } else if (p.where == 4) {
        ((T*)p.c)[at] = from<T>(Maths<T>::silu(v));
    } else {
        float* c = (float*)p.c + at;
        *c = p.where == 1 ? *c + v : v;
    }
}

// BM x BN outputs a block, TM x TN of them a thread, BK of k at a time: the next BK are on their way from memory while these
// are worked on.
template <class T, int BM, int BN, int TM, int TN, int BK> __device__ __forceinline__ void linear(const Linear& p) {
    constexpr int TX = BN / TN, TY = BM / TM, THREADS = TX * TY, A = BM * BK / THREADS, W = BN * BK / THREADS;
    constexpr int VM = TM < 4 ? TM : 4, VN = TN < 4 ? TN : 4;
    __shared__ __align__(16) float as[BK][BM + 4];
    __shared__ __align__(16) float ws[BK][BN];
    const int rows = p.wave->rows, m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    if (m0 >= rows) return;
    const int tx = threadIdx.x % TX, ty = threadIdx.x / TX;
    float next_a[A], next_w[W];
    auto fetch = [&](int k0) {
#pragma unroll
        for (int i = 0; i < A; i++) {
            const int r = m0 + (threadIdx.x + i * THREADS) / BK, k = k0 + (threadIdx.x + i * THREADS) % BK;
            next_a[i] = r < rows && k < p.k ? f32(((const T*)p.a)[(size_t)r * p.lda + k]) : 0.f;
        }
#pragma unroll
        for (int i = 0; i < W; i++) {
            const int k = k0 + (threadIdx.x + i * THREADS) / BN, c = n0 + (threadIdx.x + i * THREADS) % BN;
            next_w[i] = c < p.n && k < p.k ? f32(((const T*)p.w)[(size_t)k * p.n + c]) : 0.f;
        }
    };
    float sum[TM][TN];
#pragma unroll
    for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j++) sum[i][j] = 0.f;
    }
    auto one = [&](int k) {
        float a[TM], w[TN];
        take(a, &as[k][ty * VM], VM * TY);
        take(w, &ws[k][tx * VN], VN * TX);
#pragma unroll
        for (int i = 0; i < TM; i++) {
#pragma unroll
            for (int j = 0; j < TN; j++) sum[i][j] = fmaf(a[i], w[j], sum[i][j]);
        }
    };
    fetch(0);
    for (int k0 = 0; k0 < p.k; k0 += BK) {
#pragma unroll
        for (int i = 0; i < A; i++) as[(threadIdx.x + i * THREADS) % BK][(threadIdx.x + i * THREADS) / BK] = next_a[i];
#pragma unroll
        for (int i = 0; i < W; i++) ws[(threadIdx.x + i * THREADS) / BN][(threadIdx.x + i * THREADS) % BN] = next_w[i];
        __syncthreads();
        if (k0 + BK < p.k) fetch(k0 + BK);
        // Nothing is added beyond the last k, not even zeros: the chain is the same in every tile.
        if (k0 + BK <= p.k) {
#pragma unroll 16
            for (int k = 0; k < BK; k++) one(k);
        } else {
            for (int k = 0; k0 + k < p.k; k++) one(k);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < TM; i++) {
        const int r = m0 + i / VM * (VM * TY) + ty * VM + i % VM;
#pragma unroll
        for (int j = 0; j < TN; j++) {
            const int col = n0 + j / VN * (VN * TX) + tx * VN + j % VN;
            if (r < rows && col < p.n) put<T>(p, r, col, sum[i][j]);
        }
    }
}
#define LINEAR(NAME, T, THREADS, ...) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(const Linear p) { linear<T, __VA_ARGS__>(p); }
LINEAR(linear_f32, float, 256, 128, 128, 8, 8, 16)
LINEAR(linear_some_f32, float, 128, 32, 64, 4, 4, 32)
LINEAR(linear_few_f32, float, 128, 16, 32, 2, 2, 128)
LINEAR(linear_one_f32, float, 128, 4, 32, 1, 1, 128)
LINEAR(linear_bf16, bf16, 256, 128, 128, 8, 8, 16)
LINEAR(linear_some_bf16, bf16, 128, 32, 64, 4, 4, 32)
LINEAR(linear_few_bf16, bf16, 128, 16, 32, 2, 2, 128)
LINEAR(linear_one_bf16, bf16, 128, 4, 32, 1, 1, 128)
