// arch: sm_90a
// The selective scan of Mamba-1 (arXiv 2312.00752), n = 16, with softplus, the skip D and the gate inside:
//
//   dt = softplus(dt + bias)                        [rows, d_in]
//   h  = exp(dt A) h + dt u B                       [d_in, 16], f32, carried in the sequence's slot
//   y  = (C h + D u) silu(z)                        [rows, d_in]
//
// It walks time strictly in order, so that any cut gives the same bits. Sums over n are one tree of pairs whatever the
// launch: leaves (0,1), (2,3) .. are added as ((0,1)+(2,3)) + ((8,9)+(10,11)), and so on, as the shuffles below do it.
//
// A block carries 64 channels of one segment. The copy engine fills a ring of stages, 16 rows deep. Four warps of helpers
// make dt and dt u of 16 channels each (dt = dt_r W^T on the matrix units in the bf16 route), and gate and store y; the
// others walk. Both sides meet at barriers of their own channels only, one stage apart.
#include "common.cuh"

struct Scan {
    const Wave* wave;
    const Segment* segments;
    const int* step_slots;
    float* states;         // this layer's part of slot 0: the window [k - 1, d_in], then h [d_in, 16]
    size_t slot_stride;    // values from slot to slot
    const float* a2;       // [d_in, 16]: A log2(e)
    const float* d;        // [d_in]
    const float* dt_bias;  // [d_in]
    const bf16* w_dt;      // [d_in, r]: the bf16 route's
    const void* x;         // [rows, ld_x]: the convolution's input, for the window ..
    const bf16* tails;     // .. or only the last k - 1 rows of each segment, [segments, k - 1, d_in]; then
                           // the windows of steps have moved on already
    const void* z;         // [rows, ld_z], or silu of it: `gated`
    const void* u;         // [rows, d_in]
    const void* dt;        // [rows, r] bf16, or [rows, d_in] f32
    const float* bc;       // [rows, 32]: B, C
    void* y;               // [rows, d_in]
    int d_in, r, k, ld_x, ld_z, gated;
};

constexpr int TT = 16;        // rows of a stage
constexpr int CHANNELS = 64;  // of a block
constexpr int YS = 68;        // of a row of sums in shared memory

// A place for 16-byte chunks such that 8 rows of one column, and two rows of four, fall into different banks.
__device__ __forceinline__ int spread(int t, int chunk) { return t * 8 + (chunk ^ (((t & 1) << 2) | ((t >> 1) & 3))); }

// The window moves on: the last k - 1 inputs of the segment, older ones from before where it is shorter.
template <class T>
__device__ __forceinline__ void move_window(const Scan& p, float* window, int channel, int segment, int row, int len) {
    for (int j = 0; j < p.k - 1; j++) {
        int at = len - (p.k - 1) + j;
        float* to = window + (size_t)j * p.d_in + channel;
        if (at < 0) {
            *to = window[(size_t)(j + len) * p.d_in + channel];
        } else if (p.tails) {
            *to = f32(p.tails[(size_t)(segment * (p.k - 1) + j) * p.d_in + channel]);
        } else {
            *to = f32(((const T*)p.x)[(size_t)(row + at) * p.ld_x + channel]);
        }
    }
}

// How a warp splits its work: LANES lanes a channel, two channels a lane; rows are taken ROWS at a time.
template <int LANES> struct Split;
template <> struct Split<4> {
    static constexpr int STATES = 4, ROWS = 4;
    // The lane's row of four whose sum it gets.
    static __device__ __forceinline__ int row(int q) { return q; }
    static __device__ __forceinline__ float sum(float (&y)[4], int q) {
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float got = __shfl_xor_sync(~0u, (q & 2) ? y[k] : y[k + 2], 2);
            y[k] = ((q & 2) ? y[k + 2] : y[k]) + got;
        }
        float got = __shfl_xor_sync(~0u, (q & 1) ? y[0] : y[1], 1);
        return ((q & 1) ? y[1] : y[0]) + got;
    }
    static __device__ __forceinline__ float sum1(float y) {
        y += __shfl_xor_sync(~0u, y, 2);
        return y + __shfl_xor_sync(~0u, y, 1);
    }
};
template <> struct Split<8> {
    static constexpr int STATES = 2, ROWS = 8;
    static __device__ __forceinline__ int row(int q) { return (q & 1) * 4 + ((q >> 2) & 1) * 2 + ((q >> 1) & 1); }
    static __device__ __forceinline__ float sum(float (&y)[8], int q) {
#pragma unroll
        for (int k = 0; k < 4; k++) {
            float got = __shfl_xor_sync(~0u, (q & 1) ? y[k] : y[k + 4], 1);
            y[k] = ((q & 1) ? y[k + 4] : y[k]) + got;
        }
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float got = __shfl_xor_sync(~0u, (q & 4) ? y[k] : y[k + 2], 4);
            y[k] = ((q & 4) ? y[k + 2] : y[k]) + got;
        }
        float got = __shfl_xor_sync(~0u, (q & 2) ? y[0] : y[1], 2);
        return ((q & 2) ? y[1] : y[0]) + got;
    }
    static __device__ __forceinline__ float sum1(float y) {
        y += __shfl_xor_sync(~0u, y, 1);
        y += __shfl_xor_sync(~0u, y, 4);
        return y + __shfl_xor_sync(~0u, y, 2);
    }
};

// What a lane carries: two channels, with the decays of their next row.
template <int LANES> struct Carried {
    static constexpr int STATES = Split<LANES>::STATES;
    float h[2][STATES], a[2][STATES], e[2][STATES];

    // Decays of a first row.
    __device__ __forceinline__ void begin(float4 pair) {
#pragma unroll
        for (int j = 0; j < STATES; j++) e[0][j] = ex2(pair.x * a[0][j]), e[1][j] = ex2(pair.z * a[1][j]);
    }

    // One row (pair: dt, dt u of both channels): moves the states on, and gives the lane's part of both sums. The exponentials
    // of the row after it are made in between, one for each state moved: alone either unit would wait for the other.
    __device__ __forceinline__ float2 move(float4 pair, float4 next, const float* b, const float* c) {
#pragma unroll
        for (int j = 0; j < STATES; j++) {
            float later = ex2(next.x * a[0][j]);
            h[0][j] = fmaf(e[0][j], h[0][j], pair.y * b[j]);
            e[0][j] = later;
            later = ex2(next.z * a[1][j]);
            h[1][j] = fmaf(e[1][j], h[1][j], pair.w * b[j]);
            e[1][j] = later;
        }
        float sum[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            sum[k] = fmaf(h[k][1], c[1], h[k][0] * c[0]);
            if constexpr (STATES == 4) sum[k] += fmaf(h[k][3], c[3], h[k][2] * c[2]);
        }
        return make_float2(sum[0], sum[1]);
    }
};

// A lane's B and C of a row.
template <int STATES> __device__ __forceinline__ void fetch(float (&b)[STATES], float (&c)[STATES], const float* bc, int q) {
    if constexpr (STATES == 4) {
        *reinterpret_cast<float4*>(b) = *reinterpret_cast<const float4*>(bc + q * 4);
        *reinterpret_cast<float4*>(c) = *reinterpret_cast<const float4*>(bc + 16 + q * 4);
    } else {
        *reinterpret_cast<float2*>(b) = *reinterpret_cast<const float2*>(bc + q * 2);
        *reinterpret_cast<float2*>(c) = *reinterpret_cast<const float2*>(bc + 16 + q * 2);
    }
}

// dt of 16 rows and 8 channels on the matrix units.
__device__ __forceinline__ void dt_step(float (&c)[4], const bf16* row0, const bf16* row8, uint32_t b0, uint32_t b1) {
    uint32_t a[4] = {*(const uint32_t*)row0, *(const uint32_t*)row8, *(const uint32_t*)(row0 + 8), *(const uint32_t*)(row8 + 8)};
    uint32_t b[2] = {b0, b1};
    mma(c, a, b);
}

template <class T, bool FUSED> struct Stage {
    static constexpr int BOXES = sizeof(T) / 2;  // of 128 bytes a row
    static constexpr int WIDE = TT * 128 * BOXES;
    static constexpr int BC = 2 * WIDE, DT = BC + TT * 128;
};
// Bytes of shared memory of a block: the ring, then pairs and sums, two of each.
template <class T, bool FUSED, int STAGES> __host__ __device__ constexpr int scan_bytes(int r) {
    int dt = FUSED ? TT * r * 2 : Stage<T, FUSED>::WIDE;
    return STAGES * (Stage<T, FUSED>::DT + ((dt + 1023) & ~1023)) + 2 * TT * CHANNELS * 8 + 2 * TT * YS * 4 + 1024;
}

template <class T, bool FUSED, int KS, int LANES, int STAGES>
__device__ __forceinline__ void scan(const CUtensorMap* map_u, const CUtensorMap* map_z, const CUtensorMap* map_dt,
                                     const CUtensorMap* map_bc, const Scan& p) {
    using S = Stage<T, FUSED>;
    constexpr int BOXES = S::BOXES, WIDE = S::WIDE, WALKERS = LANES == 4 ? 1 : 2;  // warps that walk, a helper
    constexpr int VALUES = 16 / sizeof(T);                                         // of 16 bytes
    const int dt_bytes = FUSED ? TT * p.r * 2 : WIDE, stage_bytes = S::DT + ((dt_bytes + 1023) & ~1023);
    extern __shared__ unsigned char memory[];
    unsigned char* ring = aligned(memory);
    float4* all_pairs = (float4*)(ring + STAGES * stage_bytes);        // [2][4][TT * 8]
    float* all_sums = (float*)(all_pairs + 2 * 4 * TT * 8);            // [2][TT][YS]
    __shared__ uint64_t barriers[2 * STAGES + 16];
    const uint32_t first = shared(barriers), stage0 = shared(ring);
    auto full = [&](int i) { return Barrier(first + i % STAGES * 16); };
    auto empty = [&](int i) { return Barrier(first + i % STAGES * 16 + 8); };
    auto ready = [&](int i, int w) { return Barrier(first + STAGES * 16 + (i % 2 * 4 + w) * 16); };
    auto walked = [&](int i, int w) { return Barrier(first + STAGES * 16 + (i % 2 * 4 + w) * 16 + 8); };
    if (blockIdx.y >= p.wave->segments) return;
    // Uniform, and the compiler knows it: else it takes shuffles for divergent.
    Segment segment = p.segments[blockIdx.y];
    segment.len = __shfl_sync(~0u, segment.len, 0);
    const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32, c0 = blockIdx.x * CHANNELS;
    const int stages = (segment.len + TT - 1) / TT;
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; s++) full(s).init(1), empty(s).init(4);
        for (int b = 0; b < 2; b++) {
            for (int w = 0; w < 4; w++) ready(b, w).init(1), walked(b, w).init(WALKERS);
        }
    }
    barriers_made();
    float* state = p.states + segment.slot * p.slot_stride;
    if (warp < 4) {  // helpers
        auto fill = [&](int i) {
            const Barrier barrier = full(i);
            const int row = segment.row + i * TT;
            const uint32_t to = stage0 + i % STAGES * stage_bytes;
            barrier.expect(S::DT + dt_bytes);
#pragma unroll
            for (int b = 0; b < BOXES; b++) {
                copy_box(to + b * TT * 128, map_u, c0 + b * 32, row, barrier);
                copy_box(to + WIDE + b * TT * 128, map_z, c0 + b * 32, row, barrier);
                if (!FUSED) copy_box(to + S::DT + b * TT * 128, map_dt, c0 + b * 32, row, barrier);
            }
            copy_box(to + S::BC, map_bc, 0, row, barrier);
            if (FUSED) copy_box(to + S::DT, map_dt, 0, row, barrier);
        };
        if (threadIdx.x == 0) {
            for (int i = 0; i < STAGES && i < stages; i++) fill(i);
        }
        const int g = lane / 4, q = lane % 4, cw = c0 + warp * 16, t = lane % 16, c = cw + lane / 16 * 8;
        float bias[2][2], skip[8], dt_bias[8];
        uint32_t w[2][KS > 0 ? KS : 1][2];
        load8(p.d + c, skip);
        if constexpr (FUSED) {
#pragma unroll
            for (int b = 0; b < 2; b++) {
                bias[b][0] = p.dt_bias[cw + b * 8 + 2 * q];
                bias[b][1] = p.dt_bias[cw + b * 8 + 2 * q + 1];
#pragma unroll
                for (int s = 0; s < KS; s++) {
                    const bf16* at = p.w_dt + (cw + b * 8 + g) * p.r + s * 16 + 2 * q;
                    w[b][s][0] = *(const uint32_t*)at, w[b][s][1] = *(const uint32_t*)(at + 8);
                }
            }
        } else {
            load8(p.dt_bias + c, dt_bias);
        }
        // Where chunk i of this lane's eight channels of row t lies in a stage; in dt's shape of lanes, where u lies and where
        // pairs go, of row g (of row g + 8: as much again) and eight channels of two.
        int places[8 / VALUES], us[2], tos[2];
#pragma unroll
        for (int i = 0; i < 8 / VALUES; i++) {
            int at = warp * 16 + lane / 16 * 8 + i * VALUES;
            places[i] = at / (64 / BOXES) * TT * 128 + swizzled(t, at % (64 / BOXES) / VALUES);
        }
#pragma unroll
        for (int b = 0; b < 2; b++) us[b] = swizzled(g, warp * 2 + b) + q * 4, tos[b] = spread(g, b * 4 + q);
        const int dt_row = (g * p.r + 2 * q) * 2, sum_at = t * YS + warp * 16 + lane / 16 * 8;
        T* out = (T*)p.y + (size_t)(segment.row + t) * p.d_in + c;
        for (int i = 0; i <= stages; i++) {
            if (i < stages) {
                const unsigned char* at = ring + i % STAGES * stage_bytes;
                float4* pairs = all_pairs + (i % 2 * 4 + warp) * TT * 8;
                full(i).wait((i / STAGES) & 1);
                if constexpr (FUSED) {
                    const bf16 *row0 = (const bf16*)(at + S::DT + dt_row), *row8 = row0 + 8 * p.r;
#pragma unroll
                    for (int b = 0; b < 2; b++) {
                        float sum[4] = {0.f, 0.f, 0.f, 0.f};
                        if constexpr (KS > 0) {
#pragma unroll
                            for (int s = 0; s < KS; s++) dt_step(sum, row0 + s * 16, row8 + s * 16, w[b][s][0], w[b][s][1]);
                        } else {
                            const bf16* wt = p.w_dt + (cw + b * 8 + g) * p.r + 2 * q;
                            for (int s = 0; s < p.r; s += 16) {
                                dt_step(sum, row0 + s, row8 + s, *(const uint32_t*)(wt + s), *(const uint32_t*)(wt + s + 8));
                            }
                        }
#pragma unroll
                        for (int half = 0; half < 2; half++) {
                            uint32_t u = *(const uint32_t*)(at + us[b] + half * 1024);
                            float d0 = Maths<T>::softplus(sum[2 * half] + bias[b][0]);
                            float d1 = Maths<T>::softplus(sum[2 * half + 1] + bias[b][1]);
                            pairs[tos[b] + half * 64] = make_float4(d0, d0 * lo(u), d1, d1 * hi(u));
                        }
                    }
                } else {
#pragma unroll
                    for (int chunk = 0; chunk < 8 / VALUES; chunk++) {
                        uint4 wu = *(const uint4*)(at + places[chunk]), wd = *(const uint4*)(at + S::DT + places[chunk]);
                        const T *u = (const T*)&wu, *d = (const T*)&wd;
#pragma unroll
                        for (int v = 0; v < VALUES; v += 2) {
                            int n = chunk * VALUES + v;
                            float d0 = Maths<T>::softplus(f32(d[v]) + dt_bias[n]);
                            float d1 = Maths<T>::softplus(f32(d[v + 1]) + dt_bias[n + 1]);
                            pairs[spread(t, lane / 16 * 4 + n / 2)] = make_float4(d0, d0 * f32(u[v]), d1, d1 * f32(u[v + 1]));
                        }
                    }
                }
                __syncwarp();
                if (lane == 0) ready(i, warp).arrive();
            }
            if (i == 0) continue;
            const int done = i - 1;
            const unsigned char* at = ring + done % STAGES * stage_bytes;
            uint4 wu[8 / VALUES], wz[8 / VALUES];
#pragma unroll
            for (int chunk = 0; chunk < 8 / VALUES; chunk++) {
                wu[chunk] = *(const uint4*)(at + places[chunk]), wz[chunk] = *(const uint4*)(at + WIDE + places[chunk]);
            }
            float gate[8], y[8];
#pragma unroll
            for (int v = 0; v < 8; v++) gate[v] = f32(((const T*)wz)[v]);
            if (!p.gated) {
#pragma unroll
                for (int v = 0; v < 8; v++) gate[v] = Maths<T>::silu(gate[v]);
            }
            walked(done, warp).wait((done / 2) & 1);
            load8(all_sums + done % 2 * TT * YS + sum_at, y);
            __syncwarp();
            if (lane == 0) empty(done).arrive();
#pragma unroll
            for (int v = 0; v < 8; v++) y[v] = fmaf(skip[v], f32(((const T*)wu)[v]), y[v]) * gate[v];
            if (done * TT + t < segment.len) store8(out, y);
            out += (size_t)TT * p.d_in;
            if (threadIdx.x == 0 && done + STAGES < stages) {
                empty(done).wait((done / STAGES) & 1);
                fill(done + STAGES);
            }
        }
        if (threadIdx.x < CHANNELS) {
            move_window<T>(p, state, c0 + threadIdx.x, blockIdx.y, segment.row, segment.len);
        }
    } else {  // walkers
        using W = Split<LANES>;
        const int walker = warp - 4, helper = walker / WALKERS, g = lane / LANES, q = lane % LANES;
        const int cl = walker * (64 / LANES) + 2 * g, chunk = cl % 16 / 2;  // of the block; of the helper's pairs
        float* h_at = state + (size_t)(p.k - 1) * p.d_in + (size_t)(c0 + cl) * 16 + q * W::STATES;
        const float* a_at = p.a2 + (size_t)(c0 + cl) * 16 + q * W::STATES;
        Carried<LANES> s;
#pragma unroll
        for (int c = 0; c < 2; c++) {
#pragma unroll
            for (int j = 0; j < W::STATES; j++) s.h[c][j] = h_at[c * 16 + j], s.a[c][j] = a_at[c * 16 + j];
        }
        for (int i = 0; i < stages; i++) {
            const float* bc = (const float*)(ring + i % STAGES * stage_bytes + S::BC);
            const float4* pairs = all_pairs + (i % 2 * 4 + helper) * TT * 8;
            float* sums = all_sums + i % 2 * TT * YS + cl;
            const int n = min(TT, segment.len - i * TT);
            ready(i, helper).wait((i / 2) & 1);
            full(i).wait((i / STAGES) & 1);
            float4 pair = pairs[spread(0, chunk)], next = pairs[spread(min(1, n - 1), chunk)];
            s.begin(pair);
            if (n == TT) {
                float b[2][W::STATES], c[2][W::STATES], x[W::ROWS], y[W::ROWS];
                fetch(b[0], c[0], bc, q);
#pragma unroll
                for (int t = 0; t < TT; t++) {
                    // Loads run a row ahead of what is made of them.
                    const float4 after = t + 2 < TT ? pairs[spread(t + 2, chunk)] : next;
                    if (t + 1 < TT) fetch(b[(t + 1) % 2], c[(t + 1) % 2], bc + (t + 1) * 32, q);
                    const float2 v = s.move(pair, next, b[t % 2], c[t % 2]);
                    x[t % W::ROWS] = v.x, y[t % W::ROWS] = v.y;
                    if (t % W::ROWS == W::ROWS - 1) {
                        float2 sum = make_float2(W::sum(x, q), W::sum(y, q));
                        *reinterpret_cast<float2*>(sums + (t / W::ROWS * W::ROWS + W::row(q)) * YS) = sum;
                    }
                    pair = next, next = after;
                }
            } else {
                for (int t = 0; t < n; t++) {
                    float b[W::STATES], c[W::STATES];
                    fetch(b, c, bc + t * 32, q);
                    float2 v = s.move(pair, next, b, c);
                    v = make_float2(W::sum1(v.x), W::sum1(v.y));
                    if (q == 0) *reinterpret_cast<float2*>(sums + t * YS) = v;
                    pair = next, next = pairs[spread(min(t + 2, n - 1), chunk)];
                }
            }
            __syncwarp();
            if (lane == 0) walked(i, helper).arrive();
        }
#pragma unroll
        for (int c = 0; c < 2; c++) {
#pragma unroll
            for (int j = 0; j < W::STATES; j++) h_at[c * 16 + j] = s.h[c][j];
        }
    }
}

#define SCAN(NAME, T, FUSED, KS, LANES, STAGES, BLOCKS)                                                              \
    extern "C" __global__ void __launch_bounds__(LANES == 4 ? 256 : 384, BLOCKS)                                     \
        NAME(const __grid_constant__ CUtensorMap u, const __grid_constant__ CUtensorMap z,                           \
             const __grid_constant__ CUtensorMap dt, const __grid_constant__ CUtensorMap bc, const Scan p) {         \
        scan<T, FUSED, KS, LANES, STAGES>(&u, &z, &dt, &bc, p);                                                      \
    }
// Many channels at once, and few: twice as many warps then, each with half the states.
SCAN(scan_bf16_r16, bf16, true, 1, 4, 4, 3)
SCAN(scan_bf16_r32, bf16, true, 2, 4, 4, 3)
SCAN(scan_bf16_r48, bf16, true, 3, 4, 4, 3)
SCAN(scan_bf16_r64, bf16, true, 4, 4, 4, 3)
SCAN(scan_bf16_any, bf16, true, 0, 4, 4, 3)
SCAN(scan_f32, float, false, 0, 4, 3, 3)
SCAN(scan_few_bf16_r16, bf16, true, 1, 8, 4, 2)
SCAN(scan_few_bf16_r32, bf16, true, 2, 8, 4, 2)
SCAN(scan_few_bf16_r48, bf16, true, 3, 8, 4, 2)
SCAN(scan_few_bf16_r64, bf16, true, 4, 8, 4, 2)
SCAN(scan_few_bf16_any, bf16, true, 0, 8, 4, 2)

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
            __stcs(reinterpret_cast<float4*>(to + c * 128), now[c]);
        }
#pragma unroll
        for (int c = 0; c < 8; c += 4) {
            float part[4] = {y[c], y[c + 1], y[c + 2], y[c + 3]};
            int channel = (c + q) * 8 + g;
            float sum = fmaf(p.d[c0 + channel], skips[i][channel], Split<4>::sum(part, q));
            ((T*)p.y)[(size_t)(row + i) * p.d_in + c0 + channel] = from<T>(sum * gates[i][channel]);
        }
        if (!p.tails) {
            float* window = p.states + p.step_slots[s0 + i] * p.slot_stride;
            move_window<T>(p, window, c0 + lane, 0, row + i, 1);
            move_window<T>(p, window, c0 + 32 + lane, 0, row + i, 1);
        }
    }
}

#define STEP(NAME, T, FUSED) \
    extern "C" __global__ void __launch_bounds__(128, 4) NAME(const Scan p) { scan_step<T, FUSED>(p); }
STEP(scan_step_bf16, bf16, true)
STEP(scan_step_f32, float, false)

// Any n: a thread carries one channel, whose states stay where they are.
template <class T> __device__ __forceinline__ void scan_any(const Scan& p, int n) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y;
    const Wave wave = *p.wave;
    if (channel >= p.d_in || i >= wave.segments + wave.steps) return;
    const bool step = i >= wave.segments;
    const int row = step ? wave.step_row + i - wave.segments : p.segments[i].row, len = step ? 1 : p.segments[i].len;
    float* state = p.states + (step ? p.step_slots[i - wave.segments] : p.segments[i].slot) * p.slot_stride;
    float* h = state + (size_t)(p.k - 1) * p.d_in + (size_t)channel * n;
    const float *a = p.a2 + (size_t)channel * n, bias = p.dt_bias[channel], skip = p.d[channel];
    for (int t = row; t < row + len; t++) {
        const float* bc = p.bc + (size_t)t * 2 * n;
        float u = f32(((const T*)p.u)[(size_t)t * p.d_in + channel]);
        float dt = Maths<T>::softplus(((const float*)p.dt)[(size_t)t * p.d_in + channel] + bias), sum = 0.f;
        for (int j = 0; j < n; j++) {
            float next = fmaf(ex2(dt * a[j]), h[j], dt * u * bc[j]);
            h[j] = next;
            sum = fmaf(next, bc[n + j], sum);
        }
        float z = f32(((const T*)p.z)[(size_t)t * p.ld_z + channel]);
        ((T*)p.y)[(size_t)t * p.d_in + channel] = from<T>(fmaf(skip, u, sum) * Maths<T>::silu(z));
    }
    move_window<T>(p, state, channel, i, row, len);
}
extern "C" __global__ void scan_any_bf16(const Scan p, int n) { scan_any<bf16>(p, n); }
extern "C" __global__ void scan_any_f32(const Scan p, int n) { scan_any<float>(p, n); }
