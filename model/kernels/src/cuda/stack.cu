// arch: sm_90a
// One row each of many sequences through a whole stack of Mamba-1 layers in one kernel: a block takes eight or sixteen rows
// through all layers, so that no block waits for another. Weights come from the second-level cache; states come by the copy
// engine, through a ring in shared memory that is kept full across layers. Numbers are those of step.cu, gemm.cu and
// scan_step.cu to the bit: the same products and sums in the same order.
#include "stack.cuh"

constexpr int PART = 64;             // channels of a unit of the scan: a warp's, of one row
constexpr int UNIT = PART * 16 * 4;  // bytes of its states
constexpr int STAGES = 2;            // units that a warp has on their way to shared memory

struct Stack {
    const Wave* wave;
    const int* slots;
    const Layer* layers;
    float* residual;  // [rows, d]
    size_t slot_stride;
    int count;
    float eps;
};

// Eight rows over two steps of k, for mma.
__device__ __forceinline__ void two_steps(uint32_t (&b)[4], uint32_t at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(at) : "memory");
}

// Outputs in tiles of 16, N of them, a warp every WARPS-th, over k in steps of 16. The first weights are asked for when it is
// made, the next while these are multiplied.
template <int ROWS, int N, int K, int WARPS> struct Product {
    static constexpr int G = ROWS / 8, AT_ONCE = 4, PARTS = K / 16 / AT_ONCE, TURNS = (N + WARPS - 1) / WARPS;
    uint4 a[2][AT_ONCE];
    const uint4* at;
    int warp, lane;
    __device__ __forceinline__ Product(const bf16* w) : warp(threadIdx.x / 32), lane(threadIdx.x % 32) {
        at = reinterpret_cast<const uint4*>(w) + (size_t)warp * (K / 16) * 32 + lane;
        fetch(0), fetch(1);
    }
    __device__ __forceinline__ void fetch(int i) {
        if (i >= TURNS * PARTS || (N % WARPS && warp + i / PARTS * WARPS >= N)) return;
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) a[i % 2][j] = __ldg(at + ((size_t)i / PARTS * WARPS * (K / 16) + i % PARTS * AT_ONCE + j) * 32);
    }
    // x: [ROWS, K] in shared memory, rows K + 8 apart. `end(tile, first row, sums)`.
    template <class End> __device__ __forceinline__ void times(const bf16* x, const End& end) {
        const uint32_t row = shared(x) + (lane % 8 * (K + 8) + lane / 8 * 8) * 2;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            if (N % WARPS && warp + turn * WARPS >= N) break;
            float c[G][4];
#pragma unroll
            for (int e = 0; e < G; e++) c[e][0] = c[e][1] = c[e][2] = c[e][3] = 0.f;
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                const int i = turn * PARTS + part;
#pragma unroll
                for (int j = 0; j < AT_ONCE; j += 2) {
#pragma unroll
                    for (int e = 0; e < G; e++) {
                        uint32_t b[4];
                        two_steps(b, row + e * 8 * (K + 8) * 2 + (part * AT_ONCE + j) * 32);
#pragma unroll
                        for (int v = 0; v < 2; v++) {
                            const uint4 w = a[i % 2][j + v];
                            mma(c[e], {w.x, w.y, w.z, w.w}, {b[2 * v], b[2 * v + 1]});
                        }
                    }
                }
                fetch(i + 2);
            }
#pragma unroll
            for (int e = 0; e < G; e++) end(warp + turn * WARPS, e * 8 + 2 * (lane % 4), c[e]);
        }
    }
};

// One after the other where there is room for both, else one or the other.
template <bool ROOM, class A, class B> struct Two {
    A rows;
    B weights;
};
template <class A, class B> struct Two<false, A, B> {
    union {
        A rows;
        B weights;
    };
};

// What a block holds in shared memory.
template <int ROWS, int D, int E, int R, int WARPS> struct Block {
    struct alignas(128) Rows {
        float dt[ROWS][E + 8];
        bf16 x[ROWS][D + 8];
    };
    // The weights of dt_r, B and C, or as many steps of k of them as fit where x was and dt will be.
    static constexpr bool ROOM = ROWS == 8;
    static constexpr int TILES = (R + 32) / 16, HELD = ROOM ? E / 16 : sizeof(Rows) / (TILES * 512), LATE = E / 16 - HELD;
    struct alignas(128) Weights {
        uint4 of[TILES][HELD][32];
    };
    alignas(128) unsigned char ring[WARPS][STAGES][UNIT];
    uint64_t full[WARPS][STAGES];
    uint64_t come;
    Two<ROOM, Rows, Weights> at;
    alignas(16) float residual[ROWS][D + 4];
    float bc[ROWS][32];
    bf16 u[ROWS][E + 8];
    bf16 gate[ROWS][E + 8];  // y in the end
    bf16 dt_r[ROWS][R + 8];
    Layer layers[2];
    int slots[ROWS];
};

template <int ROWS, int D, int R, int WARPS> __device__ __forceinline__ void stack(const Stack& p) {
    constexpr int E = 2 * D, THREADS = WARPS * 32, PARTS = E / PART, UNITS = ROWS * PARTS / WARPS, EIGHTS = ROWS / 8;
    static_assert(WARPS % PARTS == 0 && ROWS % (WARPS / PARTS) == 0 && E == THREADS, "a warp's units are of the same channels, a thread has a channel");
    using Shared = Block<ROWS, D, E, R, WARPS>;
    constexpr int TILES = Shared::TILES, HELD = Shared::HELD, LATE = Shared::LATE;
    extern __shared__ unsigned char memory[];
    Shared& s = *reinterpret_cast<Shared*>(aligned(memory));
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    const int t0 = blockIdx.x * ROWS, rows = min(ROWS, p.wave->steps - t0);
    const bool peeks = p.wave->peeks;
    if (rows <= 0) return;
    auto fetch_layer = [&](int l) {
        constexpr int WORDS = sizeof(Layer) / 8;
        if (threadIdx.x < WORDS && l < p.count) ((unsigned long long*)&s.layers[l % 2])[threadIdx.x] = __ldg((const unsigned long long*)(p.layers + l) + threadIdx.x);
    };
    if (threadIdx.x < ROWS) s.slots[threadIdx.x] = p.slots[t0 + min((int)threadIdx.x, rows - 1)];
    fetch_layer(0);
    fetch_layer(1);
    if (threadIdx.x == 0) {
        for (int i = 0; i < WARPS * STAGES; i++) Barrier(shared(s.full) + i * 8).init(1);
        Barrier(shared(&s.come)).init(1);
    }
    barriers_made();
    // Units of a warp: 64 channels, always the same ones, of every row or every second.
    const int c0 = warp % PARTS * PART, first = warp / PARTS, ring = shared(s.ring[warp]), full = shared(s.full[warp]);
    auto states_of = [&](const float* states, int i) { return states + s.slots[first + i * (WARPS / PARTS)] * p.slot_stride + 3 * E + c0 * 16; };
    auto fetch_unit = [&](const float* states, int i) {
        const Barrier barrier(full + i % STAGES * 8);
        barrier.expect(UNIT);
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(ring + i % STAGES * UNIT),
                     "l"(states_of(states, i)), "r"(UNIT), "r"(barrier.address) : "memory");
    };
    static_assert(UNITS % STAGES == 0, "a layer's first unit takes the first stage");
    if (lane == 0) {
#pragma unroll
        for (int i = 0; i < STAGES; i++) {
            fetch_unit(s.layers[0].states, i);
        }
    }
    for (int i = threadIdx.x; i < ROWS * D / 4; i += THREADS) {
        const int t = i / (D / 4), c = i % (D / 4) * 4;
        *reinterpret_cast<float4*>(&s.residual[t][c]) = *reinterpret_cast<const float4*>(p.residual + (size_t)(t0 + min(t, rows - 1)) * D + c);
    }
    const Barrier come(shared(&s.come));
    uint32_t parity = 0;
    float4 n[D / 128];
    auto fetch_norm = [&](const float* from) {
#pragma unroll
        for (int i = 0; i < D / 128; i++) n[i] = __ldg(reinterpret_cast<const float4*>(from + lane * 4 + i * 128));
    };
    fetch_norm(s.layers[0].norm);
    for (int l = 0; l < p.count; l++) {
        // ---- in: x and silu(z) of the normed rows
        __syncthreads();
        const Layer& layer = s.layers[l % 2];
        Product<ROWS, 2 * E / 16, D, WARPS> in(layer.in_proj);
        const float* in_bias = layer.in_bias;
        if (warp < ROWS) {
            const bool by_quads = layer.by_quads;
            for (int t = warp; t < ROWS; t += WARPS) norm_row<D>(s.residual[t], s.at.rows.x[t], n, by_quads, p.eps);
        }
        __syncthreads();
        float w[4];
#pragma unroll
        for (int j = 0; j < 4; j++) w[j] = __ldg(layer.conv_weight + j * E + threadIdx.x);
        const float bias = __ldg(layer.conv_bias + threadIdx.x);
        in.times(s.at.rows.x[0], [&](int tile, int t, const float (&c)[4]) {
#pragma unroll
            for (int o = 0; o < 2; o++) {
                const int n = tile * 16 + g + 8 * o;
#pragma unroll
                for (int v = 0; v < 2; v++) {
                    float sum = c[2 * o + v];
                    if (in_bias) sum += in_bias[n];
                    if (n < E) {
                        s.u[t + v][n] = from<bf16>(sum);
                    } else {
                        s.gate[t + v][n - E] = from<bf16>(Maths<bf16>::silu(sum));
                    }
                }
            }
        });
        // ---- u = silu(conv(x)), in place; windows move on
        float window[ROWS][3];
#pragma unroll
        for (int t = 0; t < ROWS; t++) {
            const float* at = layer.states + s.slots[t] * p.slot_stride + threadIdx.x;
#pragma unroll
            for (int j = 0; j < 3; j++) window[t][j] = __ldcs(at + j * E);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
            come.expect(TILES * HELD * 512);
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared(s.at.weights.of[tile])),
                             "l"(layer.x_proj + tile * 16 * E), "r"(HELD * 512), "r"(come.address) : "memory");
            }
        }
#pragma unroll
        for (int t = 0; t < ROWS; t++) {
            const int c = threadIdx.x;
            const float now = f32(s.u[t][c]);
            float y = bias;
#pragma unroll
            for (int j = 0; j < 3; j++) y = fmaf(w[j], window[t][j], y);
            y = fmaf(w[3], now, y);
            s.u[t][c] = from<bf16>(Maths<bf16>::silu(y));
            if (peeks || t >= rows) continue;
            float* at = layer.states + s.slots[t] * p.slot_stride + c;
            __stcs(at, window[t][1]);
            __stcs(at + E, window[t][2]);
            __stcs(at + 2 * E, now);
        }
        uint4 late[LATE + 1];
        if (warp < TILES) {
#pragma unroll
            for (int i = 0; i < LATE; i++) late[i] = __ldg(reinterpret_cast<const uint4*>(layer.x_proj) + (warp * (E / 16) + HELD + i) * 32 + lane);
        }
        // What comes next is asked for.
        float* states = layer.states;
        const float* next = l + 1 < p.count ? s.layers[(l + 1) % 2].states : nullptr;
        const float *dt_bias = layer.dt_bias, *skip = layer.skip;
        const bf16* w_dt = layer.dt_proj;
        __syncthreads();
        // ---- dt_r, B, C
        if (warp < TILES) {
            float c[EIGHTS][4] = {};
            const uint32_t row = shared(s.u[0]) + (lane % 8 * (E + 8) + lane / 8 * 8) * 2;
            come.wait(l & 1);
#pragma unroll
            for (int k = 0; k < E / 16; k += 2) {
                uint4 a[2];
#pragma unroll
                for (int v = 0; v < 2; v++) a[v] = k + v < HELD ? s.at.weights.of[warp][k + v][lane] : late[max(k + v - HELD, 0)];
#pragma unroll
                for (int e = 0; e < EIGHTS; e++) {
                    uint32_t b[4];
                    two_steps(b, row + e * 8 * (E + 8) * 2 + k * 32);
#pragma unroll
                    for (int v = 0; v < 2; v++) mma(c[e], {a[v].x, a[v].y, a[v].z, a[v].w}, {b[2 * v], b[2 * v + 1]});
                }
            }
#pragma unroll
            for (int i = 0; i < EIGHTS * 4; i++) {
                const int n = warp * 16 + g + i % 4 / 2 * 8, t = i / 4 * 8 + 2 * q + i % 2;
                const float sum = c[i / 4][i % 4];
                if (n < R) {
                    s.dt_r[t][n] = from<bf16>(sum);
                } else {
                    s.bc[t][n - R] = sum;
                }
            }
        }
        if (next && lane == 1) {
            for (int t = warp; t < rows; t += WARPS) asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(next + s.slots[t] * p.slot_stride), "r"(3 * E * 4) : "memory");
        }
        constexpr int BLOCKS = E / 8 / WARPS;
        uint32_t right[BLOCKS][R / 16][2];
        float2 b_dt[BLOCKS];
        float a[8][4];
#pragma unroll
        for (int i = 0; i < BLOCKS; i++) {
            const int c = (warp + i * WARPS) * 8;
#pragma unroll
            for (int j = 0; j < R / 16; j++) {
                const bf16* at = w_dt + (c + g) * R + 2 * q + j * 16;
                right[i][j][0] = __ldg((const uint32_t*)at), right[i][j][1] = __ldg((const uint32_t*)(at + 8));
            }
            b_dt[i] = __ldg(reinterpret_cast<const float2*>(dt_bias + c + 2 * q));
        }
#pragma unroll
        for (int c = 0; c < 8; c++) *reinterpret_cast<float4*>(a[c]) = __ldg(reinterpret_cast<const float4*>(layer.a2 + (c0 + c * 8) * 16 + lane * 4));
        const float skips[2] = {__ldg(skip + c0 + q * 8 + g), __ldg(skip + c0 + q * 8 + 32 + g)};
        __syncthreads();
        // ---- dt
#pragma unroll
        for (int i = 0; i < BLOCKS; i++) {
            float sum[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
            for (int j = 0; j < R / 16; j++) {
                const bf16* row = &s.dt_r[g][j * 16 + 2 * q];
                uint32_t left[4] = {*(const uint32_t*)row, 0, *(const uint32_t*)(row + 8), 0};
                if (EIGHTS == 2) left[1] = *(const uint32_t*)(row + 8 * (R + 8)), left[3] = *(const uint32_t*)(row + 8 * (R + 8) + 8);
                mma(sum, left, right[i][j]);
            }
#pragma unroll
            for (int e = 0; e < EIGHTS; e++) {
                *reinterpret_cast<float2*>(&s.at.rows.dt[e * 8 + g][(warp + i * WARPS) * 8 + 2 * q]) =
                    make_float2(Maths<bf16>::softplus(sum[2 * e] + b_dt[i].x), Maths<bf16>::softplus(sum[2 * e + 1] + b_dt[i].y));
            }
        }
        __syncthreads();
        // ---- scan
#pragma unroll 1
        for (int i = 0; i < UNITS; i++) {
            const int t = first + i * (WARPS / PARTS), stage = i % STAGES;
            const float4 b = *reinterpret_cast<const float4*>(&s.bc[t][q * 4]), k = *reinterpret_cast<const float4*>(&s.bc[t][16 + q * 4]);
            float4 h[8];
            Barrier(full + stage * 8).wait(parity >> stage & 1);
            parity ^= 1 << stage;
#pragma unroll
            for (int c = 0; c < 8; c++) {
                asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(h[c].x), "=f"(h[c].y), "=f"(h[c].z), "=f"(h[c].w)
                             : "r"(ring + stage * UNIT + c * 512 + lane * 16));
            }
            __syncwarp();
            if (lane == 0) {
                if (i + STAGES < UNITS) fetch_unit(states, i + STAGES);
                else if (next) fetch_unit(next, i + STAGES - UNITS);
            }
            float* to = states + s.slots[t] * p.slot_stride + 3 * E + c0 * 16 + lane * 4;
            float y[8];
#pragma unroll
            for (int c = 0; c < 8; c++) {
                const int n = c0 + c * 8 + g;
                const float dt = s.at.rows.dt[t][n], du = dt * f32(s.u[t][n]);
                h[c].x = fmaf(ex2(dt * a[c][0]), h[c].x, du * b.x);
                h[c].y = fmaf(ex2(dt * a[c][1]), h[c].y, du * b.y);
                h[c].z = fmaf(ex2(dt * a[c][2]), h[c].z, du * b.z);
                h[c].w = fmaf(ex2(dt * a[c][3]), h[c].w, du * b.w);
                y[c] = fmaf(h[c].y, k.y, h[c].x * k.x) + fmaf(h[c].w, k.w, h[c].z * k.z);
                if (!peeks && t < rows) __stcs(reinterpret_cast<float4*>(to + c * 128), h[c]);
            }
            // Lane q of four takes the sums of c = q and q + 4.
            float two[4], one[2];
#pragma unroll
            for (int v = 0; v < 4; v++) {
                const int c = v / 2 * 4 + v % 2;
                const float got = __shfl_xor_sync(~0u, q & 2 ? y[c] : y[c + 2], 2);
                two[v] = (q & 2 ? y[c + 2] : y[c]) + got;
            }
#pragma unroll
            for (int v = 0; v < 2; v++) {
                const float got = __shfl_xor_sync(~0u, q & 1 ? two[2 * v] : two[2 * v + 1], 1);
                one[v] = (q & 1 ? two[2 * v + 1] : two[2 * v]) + got;
            }
#pragma unroll
            for (int v = 0; v < 2; v++) {
                const int n = c0 + (q + 4 * v) * 8 + g;
                const float sum = fmaf(skips[v], f32(s.u[t][n]), one[v]);
                s.gate[t][n] = from<bf16>(sum * f32(s.gate[t][n]));
            }
        }
        // ---- out
        Product<ROWS, D / 16, E, WARPS> out(layer.out_proj);
        const float* out_bias = layer.out_bias;
        if (next) fetch_norm(s.layers[(l + 1) % 2].norm);
        __syncthreads();
        fetch_layer(l + 2);
        out.times(s.gate[0], [&](int tile, int t, const float (&c)[4]) {
#pragma unroll
            for (int o = 0; o < 2; o++) {
                const int n = tile * 16 + g + 8 * o;
#pragma unroll
                for (int v = 0; v < 2; v++) {
                    float sum = c[2 * o + v];
                    if (out_bias) sum += out_bias[n];
                    s.residual[t + v][n] = sum + s.residual[t + v][n];
                }
            }
        });
    }
    __syncthreads();
    for (int i = threadIdx.x; i < rows * D / 4; i += THREADS) {
        const int t = i / (D / 4), c = i % (D / 4) * 4;
        *reinterpret_cast<float4*>(p.residual + (size_t)(t0 + t) * D + c) = *reinterpret_cast<const float4*>(&s.residual[t][c]);
    }
}

// The host asks for this much shared memory, and for what aligns it (stack.rs).
static_assert(sizeof(Block<8, 256, 512, 16, 16>) == 228096 && sizeof(Block<16, 256, 512, 16, 16>) == 226304, "stack.rs");

// Eight rows a block while that gives every multiprocessor one, sixteen beyond.
extern "C" __global__ void __launch_bounds__(512) stack_256_8(const Stack p) { stack<8, 256, 16, 16>(p); }
extern "C" __global__ void __launch_bounds__(512) stack_256_16(const Stack p) { stack<16, 256, 16, 16>(p); }
