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
    int where;  // as in gemm.cu: 0 store as the route's type, 1 f32 +=, 2 split, 3 f32
};

template <class T, int BM, int BN, int TM, int TN> __device__ __forceinline__ void linear(const Linear& p) {
    constexpr int BK = 16, THREADS = (BM / TM) * (BN / TN);
    __shared__ float as[BK][BM + 1];
    __shared__ __align__(16) float ws[BK][BN];
    const int rows = p.wave->rows, m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    if (m0 >= rows) return;
    const int tx = threadIdx.x % (BN / TN), ty = threadIdx.x / (BN / TN);
    float sum[TM][TN];
#pragma unroll
    for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j++) sum[i][j] = 0.f;
    }
    for (int k0 = 0; k0 < p.k; k0 += BK) {
        for (int i = threadIdx.x; i < BM * BK; i += THREADS) {
            int r = i / BK, k = i % BK;
            bool in = m0 + r < rows && k0 + k < p.k;
            as[k][r] = in ? f32(((const T*)p.a)[(size_t)(m0 + r) * p.lda + k0 + k]) : 0.f;
        }
        for (int i = threadIdx.x; i < BN * BK; i += THREADS) {
            int k = i / BN, c = i % BN;
            bool in = n0 + c < p.n && k0 + k < p.k;
            ws[k][c] = in ? f32(((const T*)p.w)[(size_t)(k0 + k) * p.n + n0 + c]) : 0.f;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < BK; k++) {
            float a[TM], w[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) a[i] = as[k][ty + i * (BM / TM)];
#pragma unroll
            for (int j = 0; j < TN; j++) w[j] = ws[k][tx + j * (BN / TN)];
#pragma unroll
            for (int i = 0; i < TM; i++) {
#pragma unroll
                for (int j = 0; j < TN; j++) sum[i][j] = fmaf(a[i], w[j], sum[i][j]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < TM; i++) {
        int r = m0 + ty + i * (BM / TM);
        if (r >= rows) continue;
#pragma unroll
        for (int j = 0; j < TN; j++) {
            int col = n0 + tx + j * (BN / TN);
            if (col >= p.n) continue;
            float v = p.bias ? sum[i][j] + p.bias[col] : sum[i][j];
            size_t at = (size_t)r * p.ldc + col;
            if (p.where == 0 || (p.where == 2 && col < p.split)) {
                ((T*)p.c)[at] = from<T>(v);
            } else if (p.where == 2) {
                ((float*)p.c2)[(size_t)r * p.ldc2 + col - p.split] = v;
            } else {
                float* c = (float*)p.c + at;
                *c = p.where == 1 ? *c + v : v;
            }
        }
    }
}
extern "C" __global__ void __launch_bounds__(256) linear_f32(const Linear p) { linear<float, 128, 128, 8, 8>(p); }
extern "C" __global__ void __launch_bounds__(128) linear_few_f32(const Linear p) { linear<float, 16, 32, 2, 2>(p); }
extern "C" __global__ void __launch_bounds__(256) linear_bf16(const Linear p) { linear<bf16, 128, 128, 8, 8>(p); }
extern "C" __global__ void __launch_bounds__(128) linear_few_bf16(const Linear p) { linear<bf16, 16, 32, 2, 2>(p); }
