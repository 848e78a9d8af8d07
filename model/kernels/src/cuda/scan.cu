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
#include "scan.cuh"

constexpr int TT = 16;        // rows of a stage
constexpr int YS = 68;        // of a row of sums in shared memory

// A place for 16-byte chunks such that 8 rows of one column, and two rows of four, fall into different banks.
__device__ __forceinline__ int spread(int t, int chunk) { return t * 8 + (chunk ^ (((t & 1) << 2) | ((t >> 1) & 3))); }

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

// A block at work: its segment and channels, its shared memory, its barriers.
template <class T, bool FUSED, int LANES, int STAGES> struct Block {
    using S = Stage<T, FUSED>;
    static constexpr int WALKERS = LANES == 4 ? 1 : 2;  // a helper
    const Scan& p;
    Segment segment;
    int warp, lane, c0, stages, dt_bytes, stage_bytes;
    unsigned char* ring;
    float4* all_pairs;  // [2][4][TT * 8]: dt, dt u of two channels
    float* all_sums;    // [2][TT][YS]
    uint32_t first, stage0;

    // Stage i has been filled; all have done with it; warp w's pairs of it are made; its sums are.
    __device__ __forceinline__ Barrier full(int i) const { return Barrier(first + i % STAGES * 16); }
    __device__ __forceinline__ Barrier empty(int i) const { return Barrier(first + i % STAGES * 16 + 8); }
    __device__ __forceinline__ Barrier ready(int i, int w) const { return Barrier(first + STAGES * 16 + (i % 2 * 4 + w) * 16); }
    __device__ __forceinline__ Barrier walked(int i, int w) const { return Barrier(first + STAGES * 16 + (i % 2 * 4 + w) * 16 + 8); }
    __device__ __forceinline__ const unsigned char* stage(int i) const { return ring + i % STAGES * stage_bytes; }
    __device__ __forceinline__ float4* pairs(int i, int helper) const { return all_pairs + (i % 2 * 4 + helper) * TT * 8; }
    __device__ __forceinline__ float* sums(int i) const { return all_sums + i % 2 * TT * YS; }
    __device__ __forceinline__ float* state() const { return p.states + segment.slot * p.slot_stride; }

    __device__ __forceinline__ Block(const Scan& p, unsigned char* memory, uint64_t* barriers)
        : p(p), segment(p.segments[blockIdx.y]), lane(threadIdx.x % 32), c0(blockIdx.x * CHANNELS) {
        // Uniform, and the compiler knows it: else it takes shuffles for divergent.
        segment.len = __shfl_sync(~0u, segment.len, 0);
        warp = __shfl_sync(~0u, threadIdx.x / 32, 0);
        stages = (segment.len + TT - 1) / TT;
        dt_bytes = FUSED ? TT * p.r * 2 : S::WIDE, stage_bytes = S::DT + ((dt_bytes + 1023) & ~1023);
        ring = aligned(memory);
        all_pairs = (float4*)(ring + STAGES * stage_bytes);
        all_sums = (float*)(all_pairs + 2 * 4 * TT * 8);
        first = shared(barriers), stage0 = shared(ring);
        if (threadIdx.x == 0) {
            for (int s = 0; s < STAGES; s++) full(s).init(1), empty(s).init(4);
            for (int b = 0; b < 2; b++) {
                for (int w = 0; w < 4; w++) ready(b, w).init(1), walked(b, w).init(WALKERS);
            }
        }
        barriers_made();
    }

    // Has the copy engine fill stage i.
    __device__ __forceinline__ void fill(int i, const CUtensorMap* const (&maps)[4]) const {
        const Barrier barrier = full(i);
        const int row = segment.row + i * TT;
        const uint32_t to = stage0 + i % STAGES * stage_bytes;
        barrier.expect(S::DT + dt_bytes);
#pragma unroll
        for (int b = 0; b < S::BOXES; b++) {
            copy_box(to + b * TT * 128, maps[0], c0 + b * 32, row, barrier);
            copy_box(to + S::WIDE + b * TT * 128, maps[1], c0 + b * 32, row, barrier);
            if (!FUSED) copy_box(to + S::DT + b * TT * 128, maps[2], c0 + b * 32, row, barrier);
        }
        copy_box(to + S::BC, maps[3], 0, row, barrier);
        if (FUSED) copy_box(to + S::DT, maps[2], 0, row, barrier);
    }
};

// A helper's lane: with the matrix units row g (and g + 8) and channels 2 q, 2 q + 1 of two times eight; else row t and eight
// channels from c on.
template <class T, bool FUSED, int KS, int LANES, int STAGES> struct Helper {
    using B = Block<T, FUSED, LANES, STAGES>;
    using S = typename B::S;
    static constexpr int VALUES = 16 / sizeof(T);  // of 16 bytes
    const B& block;
    int g, q, t, cw, c;
    float bias[2][2], skip[8], dt_bias[8];
    uint32_t w[2][KS > 0 ? KS : 1][2];
    // Where chunk i of the eight channels lies in a stage; where u lies and where pairs go, of row g (of g + 8: as much again).
    int places[8 / VALUES], us[2], tos[2], dt_row, sum_at;
    T* out;

    __device__ __forceinline__ explicit Helper(const B& block) : block(block) {
        const Scan& p = block.p;
        const int lane = block.lane, warp = block.warp;
        g = lane / 4, q = lane % 4, t = lane % 16, cw = block.c0 + warp * 16, c = cw + lane / 16 * 8;
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
#pragma unroll
        for (int i = 0; i < 8 / VALUES; i++) {
            int at = warp * 16 + lane / 16 * 8 + i * VALUES;
            places[i] = at / (64 / S::BOXES) * TT * 128 + swizzled(t, at % (64 / S::BOXES) / VALUES);
        }
#pragma unroll
        for (int b = 0; b < 2; b++) us[b] = swizzled(g, warp * 2 + b) + q * 4, tos[b] = spread(g, b * 4 + q);
        dt_row = (g * p.r + 2 * q) * 2, sum_at = t * YS + warp * 16 + lane / 16 * 8;
        out = (T*)p.y + (size_t)(block.segment.row + t) * p.d_in + c;
    }

    // dt and dt u of stage i, by the matrix units.
    __device__ __forceinline__ void multiply(const unsigned char* at, float4* pairs) const {
        const int r = block.p.r;
        const bf16 *row0 = (const bf16*)(at + S::DT + dt_row), *row8 = row0 + 8 * r;
#pragma unroll
        for (int b = 0; b < 2; b++) {
            float sum[4] = {0.f, 0.f, 0.f, 0.f};
            if constexpr (KS > 0) {
#pragma unroll
                for (int s = 0; s < KS; s++) dt_step(sum, row0 + s * 16, row8 + s * 16, w[b][s][0], w[b][s][1]);
            } else {
                const bf16* wt = block.p.w_dt + (cw + b * 8 + g) * r + 2 * q;
                for (int s = 0; s < r; s += 16) {
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
    }

    // The same from whole rows of dt.
    __device__ __forceinline__ void take(const unsigned char* at, float4* pairs) const {
#pragma unroll
        for (int chunk = 0; chunk < 8 / VALUES; chunk++) {
            uint4 wu = *(const uint4*)(at + places[chunk]), wd = *(const uint4*)(at + S::DT + places[chunk]);
            const T *u = (const T*)&wu, *d = (const T*)&wd;
#pragma unroll
            for (int v = 0; v < VALUES; v += 2) {
                int n = chunk * VALUES + v;
                float d0 = Maths<T>::softplus(f32(d[v]) + dt_bias[n]);
                float d1 = Maths<T>::softplus(f32(d[v + 1]) + dt_bias[n + 1]);
                pairs[spread(t, block.lane / 16 * 4 + n / 2)] = make_float4(d0, d0 * f32(u[v]), d1, d1 * f32(u[v + 1]));
            }
        }
    }

    // Skips, gates and stores stage i once it has been walked.
    __device__ __forceinline__ void finish(int i) {
        const Scan& p = block.p;
        const unsigned char* at = block.stage(i);
        uint4 wu[8 / VALUES], wz[8 / VALUES];
#pragma unroll
        for (int chunk = 0; chunk < 8 / VALUES; chunk++) {
            wu[chunk] = *(const uint4*)(at + places[chunk]), wz[chunk] = *(const uint4*)(at + S::WIDE + places[chunk]);
        }
        float gate[8], y[8];
#pragma unroll
        for (int v = 0; v < 8; v++) gate[v] = f32(((const T*)wz)[v]);
        if (!p.gated) {
#pragma unroll
            for (int v = 0; v < 8; v++) gate[v] = Maths<T>::silu(gate[v]);
        }
        block.walked(i, block.warp).wait((i / 2) & 1);
        load8(block.sums(i) + sum_at, y);
        __syncwarp();
        if (block.lane == 0) block.empty(i).arrive();
#pragma unroll
        for (int v = 0; v < 8; v++) y[v] = fmaf(skip[v], f32(((const T*)wu)[v]), y[v]) * gate[v];
        if (i * TT + t < block.segment.len) store8(out, y);
        out += (size_t)TT * p.d_in;
    }
};

template <class T, bool FUSED, int KS, int LANES, int STAGES>
__device__ __forceinline__ void help(const Block<T, FUSED, LANES, STAGES>& block, const CUtensorMap* const (&maps)[4]) {
    const int stages = block.stages;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES && i < stages; i++) block.fill(i, maps);
    }
    Helper<T, FUSED, KS, LANES, STAGES> helper(block);
    for (int i = 0; i <= stages; i++) {
        if (i < stages) {
            block.full(i).wait((i / STAGES) & 1);
            if constexpr (FUSED) {
                helper.multiply(block.stage(i), block.pairs(i, block.warp));
            } else {
                helper.take(block.stage(i), block.pairs(i, block.warp));
            }
            __syncwarp();
            if (block.lane == 0) block.ready(i, block.warp).arrive();
        }
        if (i == 0) continue;
        const int done = i - 1;
        helper.finish(done);
        if (threadIdx.x == 0 && done + STAGES < stages) {
            block.empty(done).wait((done / STAGES) & 1);
            block.fill(done + STAGES, maps);
        }
    }
    if (threadIdx.x < CHANNELS) {
        const Segment& segment = block.segment;
        move_window<T>(block.p, block.state(), block.c0 + threadIdx.x, segment.row, segment.len);
    }
}

// All rows of a stage. bc: B and C of its rows; sums: from the lane's first channel on.
template <int LANES>
__device__ __forceinline__ void walk_stage(Carried<LANES>& s, const float4* pairs, const float* bc, float* sums, int chunk, int q) {
    using W = Split<LANES>;
    float4 pair = pairs[spread(0, chunk)], next = pairs[spread(1, chunk)];
    s.begin(pair);
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
}

// The first n rows, one by one.
template <int LANES>
__device__ __forceinline__ void walk_rows(Carried<LANES>& s, const float4* pairs, const float* bc, float* sums, int chunk, int q, int n) {
    using W = Split<LANES>;
    float4 pair = pairs[spread(0, chunk)], next = pairs[spread(min(1, n - 1), chunk)];
    s.begin(pair);
    for (int t = 0; t < n; t++) {
        float b[W::STATES], c[W::STATES];
        fetch(b, c, bc + t * 32, q);
        float2 v = s.move(pair, next, b, c);
        v = make_float2(W::sum1(v.x), W::sum1(v.y));
        if (q == 0) *reinterpret_cast<float2*>(sums + t * YS) = v;
        pair = next, next = pairs[spread(min(t + 2, n - 1), chunk)];
    }
}

template <class T, bool FUSED, int LANES, int STAGES>
__device__ __forceinline__ void walk(const Block<T, FUSED, LANES, STAGES>& block) {
    using W = Split<LANES>;
    const Scan& p = block.p;
    const int walker = block.warp - 4, helper = walker / block.WALKERS, g = block.lane / LANES, q = block.lane % LANES;
    const int cl = walker * (64 / LANES) + 2 * g, chunk = cl % 16 / 2;  // of the block; of the helper's pairs
    const size_t at = (size_t)(block.c0 + cl) * 16 + q * W::STATES;
    float* h = block.state() + (size_t)(p.k - 1) * p.d_in + at;
    Carried<LANES> s;
#pragma unroll
    for (int c = 0; c < 2; c++) {
#pragma unroll
        for (int j = 0; j < W::STATES; j++) s.h[c][j] = h[c * 16 + j], s.a[c][j] = p.a2[at + c * 16 + j];
    }
    for (int i = 0; i < block.stages; i++) {
        const float* bc = (const float*)(block.stage(i) + Stage<T, FUSED>::BC);
        const float4* pairs = block.pairs(i, helper);
        float* sums = block.sums(i) + cl;
        const int n = min(TT, block.segment.len - i * TT);
        block.ready(i, helper).wait((i / 2) & 1);
        block.full(i).wait((i / STAGES) & 1);
        if (n == TT) {
            walk_stage<LANES>(s, pairs, bc, sums, chunk, q);
        } else {
            walk_rows<LANES>(s, pairs, bc, sums, chunk, q, n);
        }
        __syncwarp();
        if (block.lane == 0) block.walked(i, helper).arrive();
    }
#pragma unroll
    for (int c = 0; c < 2; c++) {
#pragma unroll
        for (int j = 0; j < W::STATES; j++) h[c * 16 + j] = s.h[c][j];
    }
}

template <class T, bool FUSED, int KS, int LANES, int STAGES>
__device__ __forceinline__ void scan(const CUtensorMap* const (&maps)[4], const Scan& p) {
    extern __shared__ unsigned char memory[];
    __shared__ uint64_t barriers[2 * STAGES + 16];
    if (blockIdx.y >= p.wave->segments) return;
    const Block<T, FUSED, LANES, STAGES> block(p, memory, barriers);
    if (block.warp < 4) {
        help<T, FUSED, KS, LANES, STAGES>(block, maps);
    } else {
        walk<T, FUSED, LANES, STAGES>(block);
    }
}

#define SCAN(NAME, T, FUSED, KS, LANES, STAGES, BLOCKS)                                                              \
    extern "C" __global__ void __launch_bounds__(LANES == 4 ? 256 : 384, BLOCKS)                                     \
        NAME(const __grid_constant__ CUtensorMap u, const __grid_constant__ CUtensorMap z,                           \
             const __grid_constant__ CUtensorMap dt, const __grid_constant__ CUtensorMap bc, const Scan p) {         \
        scan<T, FUSED, KS, LANES, STAGES>({&u, &z, &dt, &bc}, p);                                                      \
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
