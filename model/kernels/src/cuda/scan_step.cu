// arch: sm_90a
// The scan of scan.cu for one row each of many sequences, with the same bits: what there is to do is to read and write states.
#include "scan.cuh"

// One row of one channel: moves two states on, and gives their part of the sum.
__device__ __forceinline__ float move(float& h0, float& h1, float a0, float a1, float dt, float du, float2 b, float2 c) {
    h0 = fmaf(ex2(dt * a0), h0, du * b.x);
    h1 = fmaf(ex2(dt * a1), h1, du * b.y);
    return fmaf(h1, c.y, h0 * c.x);
}

// One row each of 16 sequences and 64 channels a block: what there is to do is to read and write states.
template <class T, bool FUSED> __device__ __forceinline__ void scan_step(const Scan& p) {
    __shared__ __align__(16) float2 pairs[16][CHANNELS];
    __shared__ __align__(16) float gates[16][CHANNELS], skips[16][CHANNELS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    const int s0 = blockIdx.y * 16, c0 = blockIdx.x * CHANNELS, steps = p.wave->steps;
    const bool peeks = p.wave->peeks;
    if (s0 >= steps) return;
    const int n = min(16, steps - s0), row = p.wave->step_row + s0;
    // The states of the warp's first sequence are on their way while dt is made. Eight channels a load.
    float4 h[8];
    auto at = [&](int i) {
        return p.states + p.step_slots[s0 + i] * p.slot_stride + (size_t)(p.k - 1) * p.d_in + (size_t)c0 * 16 + lane * 4;
    };
    if (warp < n) {
#pragma unroll
        for (int c = 0; c < 8; c++) h[c] = __ldcs(reinterpret_cast<const float4*>(at(warp) + c * 128));
    }
    const int r0 = row + min(g, n - 1), r8 = row + min(g + 8, n - 1);
#pragma unroll
    for (int b = 0; b < 2; b++) {
        const int cl = warp * 16 + b * 8, c = c0 + cl + 2 * q;
        float sum[4] = {0.f, 0.f, 0.f, 0.f};
        if constexpr (FUSED) {
            const bf16 *row0 = (const bf16*)p.dt + (size_t)r0 * p.r + 2 * q, *row8 = (const bf16*)p.dt + (size_t)r8 * p.r + 2 * q;
            const bf16* w = p.w_dt + (c0 + cl + g) * p.r + 2 * q;
            for (int s = 0; s < p.r; s += 16) dt_step(sum, row0 + s, row8 + s, *(const uint32_t*)(w + s), *(const uint32_t*)(w + s + 8));
        } else {
            const T* dt = (const T*)p.dt + c;
            sum[0] = f32(dt[(size_t)r0 * p.d_in]), sum[1] = f32(dt[(size_t)r0 * p.d_in + 1]);
            sum[2] = f32(dt[(size_t)r8 * p.d_in]), sum[3] = f32(dt[(size_t)r8 * p.d_in + 1]);
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const size_t r = half ? r8 : r0;
#pragma unroll
            for (int v = 0; v < 2; v++) {
                float u = f32(((const T*)p.u)[r * p.d_in + c + v]), z = f32(((const T*)p.z)[r * p.ld_z + c + v]);
                float dt = Maths<T>::softplus(sum[2 * half + v] + p.dt_bias[c + v]);
                pairs[half * 8 + g][cl + 2 * q + v] = make_float2(dt, dt * u);
                gates[half * 8 + g][cl + 2 * q + v] = p.gated ? z : Maths<T>::silu(z);
                skips[half * 8 + g][cl + 2 * q + v] = u;
            }
        }
    }
    float a[8][4];
#pragma unroll
    for (int c = 0; c < 8; c++) *reinterpret_cast<float4*>(a[c]) = *reinterpret_cast<const float4*>(p.a2 + (size_t)(c0 + c * 8) * 16 + lane * 4);
    __syncthreads();
    for (int i = warp; i < n; i += 4) {
        float* to = at(i);
        const float* bc = p.bc + (size_t)(row + i) * 32 + q * 4;
        const float4 b = *reinterpret_cast<const float4*>(bc), cc = *reinterpret_cast<const float4*>(bc + 16);
        const float2 b0 = make_float2(b.x, b.y), b1 = make_float2(b.z, b.w), k0 = make_float2(cc.x, cc.y), k1 = make_float2(cc.z, cc.w);
        float4 now[8];
#pragma unroll
        for (int c = 0; c < 8; c++) now[c] = h[c];
        if (i + 4 < n) {
#pragma unroll
            for (int c = 0; c < 8; c++) h[c] = __ldcs(reinterpret_cast<const float4*>(at(i + 4) + c * 128));
        }
        float y[8];
#pragma unroll
        for (int c = 0; c < 8; c++) {
            const float2 pair = pairs[i][c * 8 + g];
            float y0 = move(now[c].x, now[c].y, a[c][0], a[c][1], pair.x, pair.y, b0, k0);
            float y1 = move(now[c].z, now[c].w, a[c][2], a[c][3], pair.x, pair.y, b1, k1);
            y[c] = y0 + y1;
            if (!peeks) __stcs(reinterpret_cast<float4*>(to + c * 128), now[c]);
        }
#pragma unroll
        for (int c = 0; c < 8; c += 4) {
            float part[4] = {y[c], y[c + 1], y[c + 2], y[c + 3]};
            int channel = (c + q) * 8 + g;
            float sum = fmaf(p.d[c0 + channel], skips[i][channel], Split<4>::sum(part, q));
            ((T*)p.y)[(size_t)(row + i) * p.d_in + c0 + channel] = from<T>(sum * gates[i][channel]);
        }
        if (!peeks) {
            float* window = p.states + p.step_slots[s0 + i] * p.slot_stride;
            move_window<T>(p, window, c0 + lane, row + i, 1);
            move_window<T>(p, window, c0 + 32 + lane, row + i, 1);
        }
    }
}

#define STEP(NAME, T, FUSED) \
    extern "C" __global__ void __launch_bounds__(128, 4) NAME(const Scan p) { scan_step<T, FUSED>(p); }
STEP(scan_step_bf16, bf16, true)
STEP(scan_step_f32, float, false)
