// The scan of Mamba-2 (arXiv 2405.21060), strictly in time order like scan.cu:
//
//   dt = clamp(softplus(dt + bias))     [rows, heads]
//   h  = exp(dt A) h + dt x B           [heads, head_dim, n], f32, carried in the sequence's slot
//   y  = C h + D x                      [rows, d_in], f32
//
// Rows of `xbc` hold x, B and C after the convolution; rows of `zxbcdt` what the convolution read, and dt at their end.
#include "common.cuh"

struct Ssd {
    const Wave* wave;
    const Segment* segments;
    const int* step_slots;
    float* states;         // this layer's part of slot 0: the window [k - 1, channels], then h [heads, head_dim, n]
    size_t slot_stride;
    const float* a2;       // [heads]: A log2(e)
    const float* d;        // [heads] or [d_in]
    const float* dt_bias;  // [heads]
    const void* zxbcdt;    // [rows, ld]: z, x, B, C, dt
    const void* xbc;       // [rows, channels]
    float* y;              // [rows, d_in]
    int heads, head_dim, n, groups, k, ld, d_per_channel;
    float dt_low, dt_high;
};

// Eight lanes a channel of a head; lane q carries states q, q + 8, .. and sums them in that order, then over the lanes.
constexpr int MOST = 32;  // states a lane: n up to 256
template <class T, int NS> __device__ __forceinline__ void ssd(const Ssd& p) {
    const Wave wave = *p.wave;
    const int i = blockIdx.z;
    if (i >= wave.segments + wave.steps) return;
    const bool step = i >= wave.segments;
    const int row = step ? wave.step_row + i - wave.segments : p.segments[i].row, len = step ? 1 : p.segments[i].len;
    const int head = blockIdx.y, q = threadIdx.x % 8, c = blockIdx.x * (blockDim.x / 8) + threadIdx.x / 8;
    const bool mine = c < p.head_dim;
    const int d_in = p.heads * p.head_dim, channels = d_in + 2 * p.groups * p.n, group = head / (p.heads / p.groups);
    float* state = p.states + (step ? p.step_slots[i - wave.segments] : p.segments[i].slot) * p.slot_stride;
    float* h_at = state + (size_t)(p.k - 1) * channels + ((size_t)head * p.head_dim + c) * p.n;
    const int n = p.n;
    float h[NS];
#pragma unroll
    for (int j = 0; j < NS; j++) h[j] = mine && q + 8 * j < n ? h_at[q + 8 * j] : 0.f;
    const float a = p.a2[head], bias = p.dt_bias[head];
    const float skip = mine ? p.d[p.d_per_channel ? head * p.head_dim + c : head] : 0.f;
    for (int t = row; t < row + len; t++) {
        const T* in = (const T*)p.xbc + (size_t)t * channels;
        float dt = f32(((const T*)p.zxbcdt)[(size_t)t * p.ld + d_in + channels + head]) + bias;
        dt = fminf(fmaxf(Maths<T>::softplus(dt), p.dt_low), p.dt_high);
        float x = mine ? f32(in[head * p.head_dim + c]) : 0.f, e = ex2(dt * a), du = dt * x, sum = 0.f;
        const T *b = in + d_in + group * n, *cc = b + p.groups * n;
#pragma unroll
        for (int j = 0; j < NS; j++) {
            if (q + 8 * j < n) {
                h[j] = fmaf(e, h[j], du * f32(b[q + 8 * j]));
                sum = fmaf(h[j], f32(cc[q + 8 * j]), sum);
            }
        }
#pragma unroll
        for (int w = 4; w >= 1; w >>= 1) sum += __shfl_xor_sync(~0u, sum, w);
        if (mine && q == 0) p.y[(size_t)t * d_in + head * p.head_dim + c] = fmaf(skip, x, sum);
    }
#pragma unroll
    for (int j = 0; j < NS; j++) {
        if (mine && q + 8 * j < n && !wave.peeks) h_at[q + 8 * j] = h[j];
    }
}
extern "C" __global__ void __launch_bounds__(256) ssd_bf16(const Ssd p) { ssd<bf16, 16>(p); }
extern "C" __global__ void __launch_bounds__(256) ssd_f32(const Ssd p) { ssd<float, 16>(p); }
extern "C" __global__ void __launch_bounds__(256) ssd_wide_bf16(const Ssd p) { ssd<bf16, MOST>(p); }
extern "C" __global__ void __launch_bounds__(256) ssd_wide_f32(const Ssd p) { ssd<float, MOST>(p); }

// The windows move on, after all who read them.
template <class T> __device__ __forceinline__ void ssd_window(const Ssd& p) {
    const Wave wave = *p.wave;
    const int i = blockIdx.y, c = blockIdx.x * blockDim.x + threadIdx.x;
    const int d_in = p.heads * p.head_dim, channels = d_in + 2 * p.groups * p.n;
    if (i >= wave.segments + wave.steps || c >= channels || wave.peeks) return;
    const bool step = i >= wave.segments;
    const int row = step ? wave.step_row + i - wave.segments : p.segments[i].row, len = step ? 1 : p.segments[i].len;
    float* window = p.states + (step ? p.step_slots[i - wave.segments] : p.segments[i].slot) * p.slot_stride;
    for (int j = 0; j < p.k - 1; j++) {
        int at = len - (p.k - 1) + j;
        window[j * channels + c] = at >= 0 ? f32(((const T*)p.zxbcdt)[(size_t)(row + at) * p.ld + d_in + c])
                                           : window[(j + len) * channels + c];
    }
}
extern "C" __global__ void ssd_window_bf16(const Ssd p) { ssd_window<bf16>(p); }
extern "C" __global__ void ssd_window_f32(const Ssd p) { ssd_window<float>(p); }
