// arch: sm_90a
// One row each of a few sequences, eight a group, through a whole stack of Mamba-1 layers in one kernel. A step of so few waits for nothing
// but ways to memory and back; so all blocks of a group stay on the card, each with 16 channels of every layer: their weights come to shared memory a layer
// ahead, and rows go from block to block by words that hold a value and a flag, which whoever wants them reads until the
// flag is this layer's. So blocks must all run at once: a cooperative launch. Numbers are those of step.cu to the bit.
//
//   all: residual ─ norm ─ in, convolution, gate of 16 channels ──► u
//   some: u ─ 16 of x_proj's outputs ──► dt_r, B, C
//   all: dt, scan of 16 channels ──► y
//   some: y ─ 16 of out_proj's outputs + residual ──► residual
//
// A buffer of words is written anew in the next layer: its writer has by then got what was made from what everybody read of it.
#include "stack.cuh"

constexpr int ROWS = 8, THREADS = 256, OWN = 16 /* channels of a block */, MOST_LAYERS = 64;

struct Few {
    const Wave* wave;
    const int* slots;
    const Layer* layers;
    float* residual;  // [rows, d]
    size_t slot_stride;
    unsigned int* flag;  // the last one used: a group's
    uint2 *u, *x, *y, *r;  // of the first group: [ROWS, d_in / 2], [ROWS, r + 32], [ROWS, d_in / 2], [ROWS, d]: value and flag
    int words, count;  // words of a group
    float eps;
};

__device__ __forceinline__ void send(uint2* to, uint32_t value, uint32_t flag) {
    asm volatile("st.volatile.global.v2.u32 [%0], {%1, %2};" ::"l"(to), "r"(value), "r"(flag) : "memory");
}
// All of `count` words (an even number), by pairs: `take(pair, first, second)`.
template <class Take> __device__ __forceinline__ void receive(const uint2* from, int count, uint32_t flag, const Take& take) {
    constexpr int AT_ONCE = 4;
    for (int i0 = threadIdx.x; i0 < count / 2; i0 += AT_ONCE * THREADS) {
        uint4 v[AT_ONCE];
        bool wait;
        do {
            wait = false;
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                const uint2* at = from + 2 * min(i0 + j * THREADS, count / 2 - 1);
                asm volatile("ld.volatile.global.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v[j].x), "=r"(v[j].y), "=r"(v[j].z), "=r"(v[j].w) : "l"(at) : "memory");
            }
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) wait |= v[j].y != flag || v[j].w != flag;
        } while (wait);
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            if (i0 + j * THREADS < count / 2) take(i0 + j * THREADS, v[j].x, v[j].z);
        }
    }
}

// 16 outputs of eight rows: a tile of weights and the rows in shared memory.
template <int K> __device__ __forceinline__ void product(float (&c)[4], const unsigned char* tile, const bf16* x) {
    const int lane = threadIdx.x % 32;
    const uint32_t row = shared(x) + (lane % 8 * (K + 8) + lane / 8 * 8) * 2;
    const uint4* w = reinterpret_cast<const uint4*>(tile) + lane;
    c[0] = c[1] = c[2] = c[3] = 0.f;
#pragma unroll 8
    for (int k = 0; k < K / 16; k += 2) {
        uint32_t b[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(row + k * 32) : "memory");
        const uint4 v = w[k * 32], z = w[(k + 1) * 32];
        mma(c, {v.x, v.y, v.z, v.w}, {b[0], b[1]});
        mma(c, {z.x, z.y, z.z, z.w}, {b[2], b[3]});
    }
}

template <int D, int R> struct Block {
    static constexpr int E = 2 * D;
    alignas(128) unsigned char in[2][OWN * D * 2];
    alignas(128) unsigned char other[OWN * E * 2];  // of x_proj or out_proj
    uint64_t full[2];
    alignas(16) float residual[ROWS][D + 4];
    alignas(16) bf16 x[ROWS][D + 8];
    alignas(16) bf16 rows[ROWS][E + 8];  // u, or y
    alignas(16) float bc[ROWS][32];
    alignas(16) float2 pairs[ROWS][OWN];
    alignas(16) bf16 now[ROWS][OWN], u[ROWS][OWN], gate[ROWS][OWN], dt_r[ROWS][R + 8];
    Layer layers[MOST_LAYERS];
    int slots[ROWS];
};

template <int D, int R> __device__ __forceinline__ void few(Few p) {
    constexpr int E = 2 * D, OUTPUTS = R + 32, OUT = D / 16, X = OUTPUTS / 16, BLOCKS = E / OWN;
    static_assert(OUT + X <= BLOCKS, "a block has one part besides the one that all have");
    extern __shared__ unsigned char memory[];
    Block<D, R>& s = *reinterpret_cast<Block<D, R>*>(aligned(memory));
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    const int c0 = blockIdx.x * OWN, group = blockIdx.y, rows = min(p.wave->steps - group * ROWS, ROWS);
    if (rows <= 0) return;
    p.slots += group * ROWS, p.residual += group * ROWS * D, p.flag += group;
    p.u += group * p.words, p.x += group * p.words, p.y += group * p.words, p.r += group * p.words;
    const bool peeks = p.wave->peeks;
    const int out_tile = (int)blockIdx.x < OUT ? (int)blockIdx.x : -1, x_tile = (int)blockIdx.x >= BLOCKS - X ? BLOCKS - 1 - (int)blockIdx.x : -1;
    for (int i = threadIdx.x; i < p.count * (int)(sizeof(Layer) / 8); i += THREADS) ((unsigned long long*)s.layers)[i] = __ldg((const unsigned long long*)p.layers + i);
    if (threadIdx.x < ROWS) s.slots[threadIdx.x] = p.slots[min((int)threadIdx.x, rows - 1)];
    const Barrier in_full(shared(s.full)), other_full(shared(s.full + 1));
    if (threadIdx.x == 0) in_full.init(1), other_full.init(1);
    for (int i = threadIdx.x; i < ROWS * D / 4; i += THREADS) {
        const int t = i / (D / 4), c = i % (D / 4) * 4;
        *reinterpret_cast<float4*>(&s.residual[t][c]) = *reinterpret_cast<const float4*>(p.residual + (size_t)min(t, rows - 1) * D + c);
    }
    const uint32_t last = *(volatile unsigned int*)p.flag;
    barriers_made();
    auto copy = [&](void* to, const bf16* from, int bytes, Barrier barrier) {
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared(to)), "l"(from), "r"(bytes), "r"(barrier.address) : "memory");
    };
    auto fetch_in = [&](int l) {
        if (l >= p.count) return;
        in_full.expect(2 * OWN * D * 2);
        for (int i = 0; i < 2; i++) copy(s.in[i], s.layers[l].in_proj + (size_t)(c0 + i * E) * D, OWN * D * 2, in_full);
    };
    auto fetch_other = [&](int l) {
        if (l >= p.count || (out_tile < 0 && x_tile < 0)) return;
        other_full.expect(OWN * E * 2);
        copy(s.other, out_tile >= 0 ? s.layers[l].out_proj + (size_t)out_tile * 16 * E : s.layers[l].x_proj + (size_t)x_tile * 16 * E, OWN * E * 2, other_full);
    };
    if (threadIdx.x == 0) fetch_in(0), fetch_other(0);
    for (int l = 0; l < p.count; l++) {
        const Layer& layer = s.layers[l];
        const uint32_t flag = last + 1 + l;
        // What comes to registers is asked for before it is known what it is wanted for.
        float4 n[D / 128], h[2], a[2];
#pragma unroll
        for (int i = 0; i < D / 128; i++) n[i] = __ldg(reinterpret_cast<const float4*>(layer.norm + lane * 4 + i * 128));
        float* state = layer.states + s.slots[warp] * p.slot_stride + 3 * E + (size_t)c0 * 16 + lane * 4;
#pragma unroll
        for (int c = 0; c < 2; c++) h[c] = *reinterpret_cast<const float4*>(state + c * 128), a[c] = __ldg(reinterpret_cast<const float4*>(layer.a2 + (size_t)c0 * 16 + c * 128 + lane * 4));
        // The convolution: two channels of a row a thread.
        const int ct = threadIdx.x / 8 % ROWS, cc = c0 + threadIdx.x % 8 * 2;
        float* at = layer.states + s.slots[ct] * p.slot_stride + cc;
        float2 window[3], w[4], conv_bias;
        if (threadIdx.x < ROWS * 8) {
#pragma unroll
            for (int j = 0; j < 3; j++) window[j] = *reinterpret_cast<const float2*>(at + j * E);
#pragma unroll
            for (int j = 0; j < 4; j++) w[j] = __ldg(reinterpret_cast<const float2*>(layer.conv_weight + j * E + cc));
            conv_bias = __ldg(reinterpret_cast<const float2*>(layer.conv_bias + cc));
        }
        uint32_t w_dt[R / 16][2];
        float2 b_dt;
        if (warp < 2) {
#pragma unroll
            for (int j = 0; j < R / 16; j++) {
                const bf16* from = layer.dt_proj + (size_t)(c0 + warp * 8 + g) * R + 2 * q + j * 16;
                w_dt[j][0] = __ldg((const uint32_t*)from), w_dt[j][1] = __ldg((const uint32_t*)(from + 8));
            }
            b_dt = __ldg(reinterpret_cast<const float2*>(layer.dt_bias + c0 + warp * 8 + 2 * q));
        }
        const float skip[2] = {__ldg(layer.skip + c0 + g), __ldg(layer.skip + c0 + 8 + g)};
        if (l > 0) {
            receive(p.r, rows * D, flag - 1, [&](int i, uint32_t v, uint32_t z) {
                *reinterpret_cast<uint2*>(&s.residual[i / (D / 2)][i % (D / 2) * 2]) = make_uint2(v, z);
            });
        }
        __syncthreads();
        norm_row<D>(s.residual[warp], s.x[warp], n, layer.by_quads, p.eps);
        __syncthreads();
        if (warp < 2) {
            in_full.wait(l & 1);
            float c[4];
            product<D>(c, s.in[warp], s.x[0]);
#pragma unroll
            for (int o = 0; o < 2; o++) {
#pragma unroll
                for (int v = 0; v < 2; v++) {
                    float sum = c[2 * o + v];
                    if (layer.in_bias) sum += layer.in_bias[warp * E + c0 + g + 8 * o];
                    (warp ? s.gate : s.now)[2 * q + v][g + 8 * o] = from<bf16>(warp ? Maths<bf16>::silu(sum) : sum);
                }
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) fetch_in(l + 1);
        if (threadIdx.x < ROWS * 8) {
            const uint32_t both = *(const uint32_t*)&s.now[ct][cc - c0];
            const float2 now = make_float2(lo(both), hi(both));
            float2 y = conv_bias;
#pragma unroll
            for (int j = 0; j < 3; j++) y.x = fmaf(w[j].x, window[j].x, y.x), y.y = fmaf(w[j].y, window[j].y, y.y);
            y.x = fmaf(w[3].x, now.x, y.x), y.y = fmaf(w[3].y, now.y, y.y);
            const uint32_t u = pack(Maths<bf16>::silu(y.x), Maths<bf16>::silu(y.y));
            if (ct < rows) send(p.u + ct * (E / 2) + cc / 2, u, flag);
            *(uint32_t*)&s.u[ct][cc - c0] = u;
            if (!peeks && ct < rows) {
                *reinterpret_cast<float2*>(at) = window[1];
                *reinterpret_cast<float2*>(at + E) = window[2];
                *reinterpret_cast<float2*>(at + 2 * E) = now;
            }
        }
        if (x_tile >= 0) {
            receive(p.u, rows * (E / 2), flag, [&](int i, uint32_t v, uint32_t z) {
                *reinterpret_cast<uint2*>(&s.rows[i / (E / 4)][i % (E / 4) * 4]) = make_uint2(v, z);
            });
            __syncthreads();
            if (warp == 0) {
                other_full.wait(l & 1);
                float c[4];
                product<E>(c, s.other, s.rows[0]);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int t = 2 * q + i % 2;
                    if (t < rows) send(p.x + t * OUTPUTS + x_tile * 16 + g + 8 * (i / 2), __float_as_uint(c[i]), flag);
                }
            }
            __syncthreads();
            if (threadIdx.x == 0) fetch_other(l + 1);
        }
        receive(p.x, rows * OUTPUTS, flag, [&](int i, uint32_t v, uint32_t z) {
            const int t = i / (OUTPUTS / 2), n = i % (OUTPUTS / 2) * 2;
            if (n < R) {
                *(uint32_t*)&s.dt_r[t][n] = pack(__uint_as_float(v), __uint_as_float(z));
            } else {
                *reinterpret_cast<uint2*>(&s.bc[t][n - R]) = make_uint2(v, z);
            }
        });
        __syncthreads();
        if (warp < 2) {
            float sum[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
            for (int j = 0; j < R / 16; j++) {
                const bf16* row = &s.dt_r[g][j * 16 + 2 * q];
                mma(sum, {*(const uint32_t*)row, 0, *(const uint32_t*)(row + 8), 0}, w_dt[j]);
            }
            const uint32_t u = *(const uint32_t*)&s.u[g][warp * 8 + 2 * q];
            const float d0 = Maths<bf16>::softplus(sum[0] + b_dt.x), d1 = Maths<bf16>::softplus(sum[1] + b_dt.y);
            s.pairs[g][warp * 8 + 2 * q] = make_float2(d0, d0 * lo(u));
            s.pairs[g][warp * 8 + 2 * q + 1] = make_float2(d1, d1 * hi(u));
        }
        __syncthreads();
        if (warp < rows) {
            const float4 b = *reinterpret_cast<const float4*>(&s.bc[warp][q * 4]), k = *reinterpret_cast<const float4*>(&s.bc[warp][16 + q * 4]);
            float y[2];
#pragma unroll
            for (int c = 0; c < 2; c++) {
                const float2 pair = s.pairs[warp][c * 8 + g];
                h[c].x = fmaf(ex2(pair.x * a[c].x), h[c].x, pair.y * b.x);
                h[c].y = fmaf(ex2(pair.x * a[c].y), h[c].y, pair.y * b.y);
                h[c].z = fmaf(ex2(pair.x * a[c].z), h[c].z, pair.y * b.z);
                h[c].w = fmaf(ex2(pair.x * a[c].w), h[c].w, pair.y * b.w);
                y[c] = fmaf(h[c].y, k.y, h[c].x * k.x) + fmaf(h[c].w, k.w, h[c].z * k.z);
            }
#pragma unroll
            for (int c = 0; c < 2; c++) {
                y[c] += __shfl_xor_sync(~0u, y[c], 2);
                y[c] += __shfl_xor_sync(~0u, y[c], 1);
                y[c] = fmaf(skip[c], f32(s.u[warp][c * 8 + g]), y[c]) * f32(s.gate[warp][c * 8 + g]);
                const float next = __shfl_xor_sync(~0u, y[c], 4);
                if (q == c && g % 2 == 0) send(p.y + warp * (E / 2) + (c0 + c * 8 + g) / 2, pack(y[c], next), flag);
            }
            if (!peeks) {
#pragma unroll
                for (int c = 0; c < 2; c++) *reinterpret_cast<float4*>(state + c * 128) = h[c];
            }
        }
        if (out_tile >= 0) {
            receive(p.y, rows * (E / 2), flag, [&](int i, uint32_t v, uint32_t z) {
                *reinterpret_cast<uint2*>(&s.rows[i / (E / 4)][i % (E / 4) * 4]) = make_uint2(v, z);
            });
            __syncthreads();
            if (warp == 0) {
                other_full.wait(l & 1);
                float c[4];
                product<E>(c, s.other, s.rows[0]);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int n = out_tile * 16 + g + 8 * (i / 2), t = 2 * q + i % 2;
                    if (layer.out_bias) c[i] += layer.out_bias[n];
                    const float sum = c[i] + s.residual[t][n];
                    if (t >= rows) continue;
                    if (l + 1 < p.count) send(p.r + t * D + n, __float_as_uint(sum), flag);
                    else p.residual[t * D + n] = sum;
                }
            }
            __syncthreads();
            if (threadIdx.x == 0) fetch_other(l + 1);
        }
    }
    // Everybody has read the flag: what this block got came of what they sent.
    if (blockIdx.x == 0 && threadIdx.x == 0) *p.flag = last + p.count;
}

// The host asks for this much shared memory, and for what aligns it (stack.rs).
static_assert(sizeof(Block<256, 16>) == 64128 && sizeof(Block<768, 48>) == 171136, "stack.rs");

extern "C" __global__ void __launch_bounds__(THREADS) few_256(const Few p) { few<256, 16>(p); }
extern "C" __global__ void __launch_bounds__(THREADS) few_768(const Few p) { few<768, 48>(p); }
