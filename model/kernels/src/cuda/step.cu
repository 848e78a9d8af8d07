// arch: sm_90a
// One row each of a few sequences through a layer of Mamba-1 in three kernels: what a step waits for is the way to memory and
// back, so each asks for all it needs before it begins: weights and states while the kernel before it still runs. Numbers are those of gemm.cu and scan.cu to the bit: products walk k
// in the same steps of 16 (mma.sync, with the outputs as its rows and up to eight sequences as its columns), norms and sums
// are added in the same order.
//
// Weights lie in the order in which a warp's lanes take them: for each 16 outputs and each 16 of k, 16 bytes a lane.
#include "stack.cuh"

constexpr int TOKENS = 8;  // of a block

struct Step {
    const Wave* wave;
    const int* slots;
    float* residual;  // [rows, d]
    Layer layer;
    size_t slot_stride;
    bf16 *u, *gate, *y;  // [rows, d_in]
    int d, d_in, r;
    float eps;
};

// The kernel behind this one in the lane may begin.
__device__ __forceinline__ void let_next() { asm volatile("griddepcontrol.launch_dependents;"); }
// What the kernels ahead of this one wrote is there: all of them, since each waits itself.
__device__ __forceinline__ void wait_for_last() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// 16 rows of W, AT_ONCE tiles of 16 of k: fetched before the rows they are multiplied with are there.
template <int AT_ONCE> struct Weights {
    uint4 a[AT_ONCE];
    const uint4* at;
    int tiles;
    __device__ __forceinline__ Weights(const bf16* w, int k, int lane) : at(reinterpret_cast<const uint4*>(w) + lane), tiles(k / 16) { fetch(0); }
    __device__ __forceinline__ void fetch(int t0) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) a[i] = t0 + i < tiles ? __ldg(at + (t0 + i) * 32) : make_uint4(0, 0, 0, 0);
    }
    // 16 outputs of up to eight rows: x in shared memory, rows `stride` apart.
    __device__ __forceinline__ void times(float (&c)[4], const bf16* x, int stride, int lane) {
        const bf16* row = x + lane / 4 * stride + lane % 4 * 2;
        c[0] = c[1] = c[2] = c[3] = 0.f;
        for (int t0 = 0; t0 < tiles; t0 += AT_ONCE) {
            if (t0 > 0) fetch(t0);
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                if (t0 + i >= tiles) break;
                uint32_t left[4] = {a[i].x, a[i].y, a[i].z, a[i].w};
                uint32_t right[2] = {*(const uint32_t*)(row + (t0 + i) * 16), *(const uint32_t*)(row + (t0 + i) * 16 + 8)};
                mma(c, left, right);
            }
        }
    }
};

// u = silu(conv(x)), gate = silu(z), [x, z] = norm(residual) W: 64 outputs a block.
extern "C" __global__ void __launch_bounds__(128) step_in(const Step p) {
    extern __shared__ unsigned char memory[];
    bf16* x = (bf16*)memory;  // [TOKENS, d + 8]
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4, stride = p.d + 8;
    const int rows = p.wave->steps, t0 = blockIdx.y * TOKENS;
    const bool peeks = p.wave->peeks;
    let_next();
    if (t0 >= rows) return;
    // What the end of it wants of two outputs and two rows.
    const int n0 = blockIdx.x * 64 + warp * 16;
    Weights<16> weights(p.layer.in_proj + (size_t)n0 * p.d, p.d, lane);
    const bool convolves = n0 < p.d_in;
    float window[2][2][3], w[2][4], bias[2];
    float* at[2][2];
    if (convolves) {
#pragma unroll
        for (int o = 0; o < 2; o++) {
            const int n = n0 + g + 8 * o;
#pragma unroll
            for (int j = 0; j < 4; j++) w[o][j] = p.layer.conv_weight[j * p.d_in + n];
            bias[o] = p.layer.conv_bias[n];
#pragma unroll
            for (int v = 0; v < 2; v++) {
                const int t = min(t0 + 2 * q + v, rows - 1);
                at[o][v] = p.layer.states + p.slots[t] * p.slot_stride + n;
#pragma unroll
                for (int j = 0; j < 3; j++) window[o][v][j] = at[o][v][(size_t)j * p.d_in];
            }
        }
    }
    wait_for_last();
    // Two rows a warp.
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int t = warp * 2 + i;
        const float* from = p.residual + (size_t)min(t0 + t, rows - 1) * p.d;
        float squares = 0.f;
        if (p.layer.by_quads) {
            for (int c = q * 2; c < p.d; c += 8) {
                float2 v = *reinterpret_cast<const float2*>(from + c);
                squares = fmaf(v.x, v.x, squares);
                squares = fmaf(v.y, v.y, squares);
            }
            squares += __shfl_xor_sync(~0u, squares, 1);
            squares += __shfl_xor_sync(~0u, squares, 2);
        } else {
            for (int c = lane * 4; c < p.d; c += 128) {
                float4 v = *reinterpret_cast<const float4*>(from + c);
                squares = fmaf(v.x, v.x, squares);
                squares = fmaf(v.y, v.y, squares);
                squares = fmaf(v.z, v.z, squares);
                squares = fmaf(v.w, v.w, squares);
            }
#pragma unroll
            for (int m = 16; m >= 1; m >>= 1) squares += __shfl_xor_sync(~0u, squares, m);
        }
        const float scale = 1.f / sqrtf(squares / p.d + p.eps);
        for (int c = lane * 4; c < p.d; c += 128) {
            float4 v = *reinterpret_cast<const float4*>(from + c), n = *reinterpret_cast<const float4*>(p.layer.norm + c);
            uint2 packed = p.layer.by_quads ? make_uint2(pack(v.x * (scale * n.x), v.y * (scale * n.y)), pack(v.z * (scale * n.z), v.w * (scale * n.w)))
                                      : make_uint2(pack(v.x * scale * n.x, v.y * scale * n.y), pack(v.z * scale * n.z, v.w * scale * n.w));
            *reinterpret_cast<uint2*>(x + t * stride + c) = packed;
        }
    }
    __syncthreads();
    float c[4];
    weights.times(c, x, stride, lane);
#pragma unroll
    for (int o = 0; o < 2; o++) {
        const int n = n0 + g + 8 * o;
#pragma unroll
        for (int v = 0; v < 2; v++) {
            const int t = t0 + 2 * q + v;
            if (t >= rows) continue;
            float sum = c[2 * o + v];
            if (p.layer.in_bias) sum += p.layer.in_bias[n];
            if (convolves) {
                const float now = f32(from<bf16>(sum));
                float y = bias[o];
#pragma unroll
                for (int j = 0; j < 3; j++) y = fmaf(w[o][j], window[o][v][j], y);
                y = fmaf(w[o][3], now, y);
                p.u[(size_t)t * p.d_in + n] = from<bf16>(Maths<bf16>::silu(y));
                if (peeks) continue;
                at[o][v][0] = window[o][v][1];
                at[o][v][p.d_in] = window[o][v][2];
                at[o][v][2 * (size_t)p.d_in] = now;
            } else {
                p.gate[(size_t)t * p.d_in + n - p.d_in] = from<bf16>(Maths<bf16>::silu(sum));
            }
        }
    }
}

// dt, B and C of eight rows, made anew by each block; then 64 channels of each row's state, a warp a row.
extern "C" __global__ void __launch_bounds__(256) step_scan(const Step p) {
    extern __shared__ unsigned char memory[];
    bf16* us = (bf16*)memory;  // [TOKENS, d_in + 8]
    __shared__ __align__(16) bf16 dt_r[TOKENS][128];
    __shared__ __align__(16) float bc[TOKENS][32];
    __shared__ __align__(16) float2 pairs[TOKENS][64];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4, stride = p.d_in + 8;
    const int rows = p.wave->steps, t0 = blockIdx.y * TOKENS, c0 = blockIdx.x * 64, mine = t0 + warp;
    const bool peeks = p.wave->peeks;
    let_next();
    if (t0 >= rows) return;
    const int outputs = p.r + 32;
    Weights<16> weights(p.layer.x_proj + (size_t)min(warp * 16, outputs - 16) * p.d_in, p.d_in, lane);
    float* state = p.layer.states + p.slots[min(mine, rows - 1)] * p.slot_stride + (size_t)3 * p.d_in + (size_t)c0 * 16 + lane * 4;
    float4 h[8];
    float a[8][4];
#pragma unroll
    for (int c = 0; c < 8; c++) {
        h[c] = *reinterpret_cast<const float4*>(state + c * 128);
        *reinterpret_cast<float4*>(a[c]) = __ldg(reinterpret_cast<const float4*>(p.layer.a2 + (size_t)(c0 + c * 8) * 16 + lane * 4));
    }
    wait_for_last();
    for (int i = threadIdx.x; i < TOKENS * p.d_in / 8; i += 256) {
        const int t = i / (p.d_in / 8), c = i % (p.d_in / 8) * 8;
        *reinterpret_cast<uint4*>(us + t * stride + c) =
            *reinterpret_cast<const uint4*>(p.u + (size_t)min(t0 + t, rows - 1) * p.d_in + c);
    }
    __syncthreads();
    for (int n0 = warp * 16; n0 < outputs; n0 += 128) {
        float c[4];
        if (n0 != warp * 16) weights = Weights<16>(p.layer.x_proj + (size_t)n0 * p.d_in, p.d_in, lane);
        weights.times(c, us, stride, lane);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int n = n0 + g + 8 * (i / 2), t = 2 * q + i % 2;
            if (n < p.r) {
                dt_r[t][n] = from<bf16>(c[i]);
            } else {
                bc[t][n - p.r] = c[i];
            }
        }
    }
    __syncthreads();
    {
        const int cl = warp * 8 + 2 * q, channel = c0 + cl;
        const bf16* w = p.layer.dt_proj + (size_t)(c0 + warp * 8 + g) * p.r + 2 * q;
        float sum[4] = {0.f, 0.f, 0.f, 0.f};
        for (int s = 0; s < p.r; s += 16) {
            const bf16* row = &dt_r[g][s + 2 * q];
            uint32_t left[4] = {*(const uint32_t*)row, 0, *(const uint32_t*)(row + 8), 0};
            uint32_t right[2] = {__ldg((const uint32_t*)(w + s)), __ldg((const uint32_t*)(w + s + 8))};
            mma(sum, left, right);
        }
        uint32_t u = *(const uint32_t*)(us + g * stride + channel);
        float d0 = Maths<bf16>::softplus(sum[0] + p.layer.dt_bias[channel]), d1 = Maths<bf16>::softplus(sum[1] + p.layer.dt_bias[channel + 1]);
        pairs[g][cl] = make_float2(d0, d0 * lo(u));
        pairs[g][cl + 1] = make_float2(d1, d1 * hi(u));
    }
    __syncthreads();
    if (mine >= rows) return;
    const float4 b = *reinterpret_cast<const float4*>(&bc[warp][q * 4]), k = *reinterpret_cast<const float4*>(&bc[warp][16 + q * 4]);
    float y[8];
#pragma unroll
    for (int c = 0; c < 8; c++) {
        const float2 pair = pairs[warp][c * 8 + g];
        h[c].x = fmaf(ex2(pair.x * a[c][0]), h[c].x, pair.y * b.x);
        h[c].y = fmaf(ex2(pair.x * a[c][1]), h[c].y, pair.y * b.y);
        h[c].z = fmaf(ex2(pair.x * a[c][2]), h[c].z, pair.y * b.z);
        h[c].w = fmaf(ex2(pair.x * a[c][3]), h[c].w, pair.y * b.w);
        y[c] = fmaf(h[c].y, k.y, h[c].x * k.x) + fmaf(h[c].w, k.w, h[c].z * k.z);
        if (!peeks) *reinterpret_cast<float4*>(state + c * 128) = h[c];
    }
#pragma unroll
    for (int c = 0; c < 8; c++) {
        y[c] += __shfl_xor_sync(~0u, y[c], 2);
        y[c] += __shfl_xor_sync(~0u, y[c], 1);
    }
#pragma unroll
    for (int c = 0; c < 8; c++) {
        if (c % 4 != q) continue;
        const int channel = c0 + c * 8 + g;
        const size_t to = (size_t)mine * p.d_in + channel;
        float sum = fmaf(p.layer.skip[channel], f32(us[warp * stride + channel]), y[c]);
        p.y[to] = from<bf16>(sum * f32(p.gate[to]));
    }
}

// residual += y W: 32 outputs a block.
extern "C" __global__ void __launch_bounds__(64) step_out(const Step p) {
    extern __shared__ unsigned char memory[];
    bf16* ys = (bf16*)memory;  // [TOKENS, d_in + 8]
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4, stride = p.d_in + 8;
    const int rows = p.wave->steps, t0 = blockIdx.y * TOKENS, n0 = blockIdx.x * 32 + warp * 16;
    let_next();
    if (t0 >= rows) return;
    Weights<32> weights(p.layer.out_proj + (size_t)min(n0, p.d - 16) * p.d_in, p.d_in, lane);
    wait_for_last();
    float old[4];
    float* at[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        at[i] = p.residual + (size_t)min(t0 + 2 * q + i % 2, rows - 1) * p.d + min(n0 + g + 8 * (i / 2), p.d - 1);
        old[i] = *at[i];
    }
    for (int i = threadIdx.x; i < TOKENS * p.d_in / 8; i += 64) {
        const int t = i / (p.d_in / 8), c = i % (p.d_in / 8) * 8;
        *reinterpret_cast<uint4*>(ys + t * stride + c) =
            *reinterpret_cast<const uint4*>(p.y + (size_t)min(t0 + t, rows - 1) * p.d_in + c);
    }
    __syncthreads();
    if (n0 >= p.d) return;
    float c[4];
    weights.times(c, ys, stride, lane);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int n = n0 + g + 8 * (i / 2);
        if (p.layer.out_bias) c[i] += p.layer.out_bias[n];
        if (t0 + 2 * q + i % 2 < rows) *at[i] = c[i] + old[i];
    }
}
