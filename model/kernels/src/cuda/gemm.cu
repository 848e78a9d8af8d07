// arch: sm_90a
// C = A W^T: A [rows, k] and W [n, k] in bf16, sums in f32, in steps of 16 along k, one after the other. So a row has the
// same bits however many others there are, whichever tile it falls into, and wherever mma.sync walks k in the same steps.
//
// A block makes 128 x BN outputs: two warp groups multiply 64 rows each, from a ring of stages, 64 deep, that one thread has
// the copy engine fill. (Eight warps, not nine: a ninth for the copies would cost every thread a quarter of its registers.)
#include "wgmma.cuh"

enum {
    STORE = 0,  // bf16
    ADD = 1,    // f32 +=
    SPLIT = 2,  // the first columns bf16, the others f32
    WIDE = 3,   // f32
    NORM = 4,   // f32 +=, and the rows' norm in bf16; a block has whole rows
    CONV = 5,   // the first d_in columns convolved, the others' silu, bf16
};
constexpr int BACK = 3;  // rows that a convolution of width 4 looks back

struct Product {
    const Wave* wave;
    const float* bias;  // [n], or none
    void* c;
    void* c2;  // SPLIT: the columns from `split` on
    int n, k, ldc, ldc2, split;
    // NORM: weight [n]
    const float* weight;
    float eps;
    // CONV: see conv.cu; what the windows will hold goes to `tails` [segments, BACK,
    // split]; those of segments of one row move on at once
    const RowInfo* info;
    const float *conv_weight, *conv_bias;
    float* states;
    size_t slot_stride;
    bf16* tails;
};

// Lane q of four holds column block i of its row in w[i]; afterwards it holds all of block q.
__device__ __forceinline__ void transpose4(uint32_t (&w)[4], int q) {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
        uint32_t got = __shfl_xor_sync(~0u, (q & 1) ? w[i] : w[i + 1], 1);
        w[i] = (q & 1) ? got : w[i];
        w[i + 1] = (q & 1) ? w[i + 1] : got;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        uint32_t got = __shfl_xor_sync(~0u, (q & 2) ? w[i] : w[i + 2], 2);
        w[i] = (q & 2) ? got : w[i];
        w[i + 2] = (q & 2) ? w[i + 2] : got;
    }
}

// A warp's sums of rows `row` and `row + 8` as bf16, 16 bytes a lane; rows before `first` are another block's.
template <int BN>
__device__ __forceinline__ void store_rows(bf16* c, int ldc, int row, int rows, int first, int n0, const float (&d)[BN / 2], int q) {
#pragma unroll
    for (int j = 0; j < BN / 8; j += 4) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t w[4];
#pragma unroll
            for (int i = 0; i < 4; i++) w[i] = pack(d[4 * (j + i) + 2 * half], d[4 * (j + i) + 2 * half + 1]);
            transpose4(w, q);
            int r = row + 8 * half, col = n0 + (j + q) * 8;
            if (r >= first && r < rows && col < ldc) {
                *reinterpret_cast<uint4*>(c + (size_t)r * ldc + col) = make_uint4(w[0], w[1], w[2], w[3]);
            }
        }
    }
}

// c += d, rows `row` and `row + 8`; d is what c becomes. Many loads are on their way before the first is needed: that takes
// conditions which are the same for all of them (FULL: no column of the block is beyond n).
template <int BN, bool FULL>
__device__ __forceinline__ void add_rows(float* c, int ldc, int row, int rows, int n, int n0, float (&d)[BN / 2], int q) {
    constexpr int AT_ONCE = 8;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        if (row + 8 * half >= rows) continue;
        float* at = c + (size_t)(row + 8 * half) * ldc + n0 + q * 2;
#pragma unroll
        for (int j0 = 0; j0 < BN / 8; j0 += AT_ONCE) {
            float2 old[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                if (FULL || n0 + (j0 + i) * 8 < n) old[i] = __ldcg(reinterpret_cast<const float2*>(at + (j0 + i) * 8));
            }
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                float &x = d[4 * (j0 + i) + 2 * half], &y = d[4 * (j0 + i) + 2 * half + 1];
                if (FULL || n0 + (j0 + i) * 8 < n) {
                    x += old[i].x, y += old[i].y;
                    *reinterpret_cast<float2*>(at + (j0 + i) * 8) = make_float2(x, y);
                }
            }
        }
    }
}

// What `convolve` wants at hand: rows of the block, weights of its channels.
template <int BN> struct ConvShared {
    RowInfo info[128];
    __align__(16) float weight[4][BN], bias[BN];
};
template <int BN> __device__ __forceinline__ void fetch(ConvShared<BN>& s, const Product& p, int m0, int n0, int rows) {
    for (int i = threadIdx.x; i < 128; i += 256) {
        int row = m0 + i;
        s.info[i] = row >= 0 && row < rows ? p.info[row] : RowInfo{0, 0, 0, 0};
    }
    for (int i = threadIdx.x; i < 5 * BN; i += 256) {
        int j = i / BN, c = i % BN;
        (j < 4 ? s.weight[j] : s.bias)[c] = j < 4 ? p.conv_weight[j * p.split + n0 + c] : p.conv_bias[n0 + c];
    }
}

// Sums to bf16 in shared memory, then u = silu(conv(x)) of 128 - BACK rows and BN channels. The products are done: the ring
// is free once both warp groups are here.
template <int BN>
__device__ __forceinline__ void convolve(const Product& p, const ConvShared<BN>& s, unsigned char* x, int m0, int n0, const float (&d)[BN / 2]) {
    constexpr int VECTORS = BN / 8, ROWS = 128 * VECTORS / 256;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4, rows = p.wave->rows;
    auto place = [](int r, int chunk) { return r * BN * 2 + ((chunk ^ (r & 7)) << 4); };
    asm volatile("bar.sync 1, 256;" ::: "memory");
#pragma unroll
    for (int j = 0; j < BN / 8; j++) {
        int r = warp * 16 + g;
        *reinterpret_cast<uint32_t*>(x + place(r, j) + q * 4) = pack(d[4 * j], d[4 * j + 1]);
        *reinterpret_cast<uint32_t*>(x + place(r + 8, j) + q * 4) = pack(d[4 * j + 2], d[4 * j + 3]);
    }
    asm volatile("bar.sync 1, 256;" ::: "memory");
    const int vector = threadIdx.x % VECTORS, c = n0 + vector * 8, r0 = threadIdx.x / VECTORS * ROWS;
    float w[4][8], bias[8], xs[4][8];
#pragma unroll
    for (int j = 0; j < 4; j++) load8(s.weight[j] + vector * 8, w[j]);
    load8(s.bias + vector * 8, bias);
#pragma unroll
    for (int j = 0; j < 3; j++) load8((const bf16*)(x + place(max(r0 - 3 + j, 0), vector)), xs[j]);
    for (int i = 0; i < ROWS; i++) {
        const int r = r0 + i, row = m0 + r;
        load8((const bf16*)(x + place(r, vector)), xs[3]);
        if (r >= BACK && row < rows) {
            const RowInfo info = s.info[r];
            const bool step = info.at == 0 && info.left == 1;
            if (info.left <= BACK && !step) {
                bf16* tail = p.tails + (size_t)(info.segment * BACK + BACK - info.left) * p.split + c;
                *reinterpret_cast<uint4*>(tail) = *reinterpret_cast<const uint4*>(x + place(r, vector));
            }
            if (info.at < BACK) {
                float* window = p.states + info.slot * p.slot_stride + c;
#pragma unroll
                for (int j = 0; j < 3; j++) {
                    if (info.at + j < BACK) load8(window + (size_t)(info.at + j) * p.split, xs[j]);
                }
                if (step && !p.wave->peeks) {  // nobody else reads this window
#pragma unroll
                    for (int j = 0; j < 3; j++) store8(window + (size_t)j * p.split, xs[j + 1]);
                }
            }
            float y[8];
#pragma unroll
            for (int v = 0; v < 8; v++) {
                float sum = bias[v];
#pragma unroll
                for (int j = 0; j < 4; j++) sum = fmaf(w[j][v], xs[j][v], sum);
                y[v] = Maths<bf16>::silu(sum);
            }
            store8((bf16*)p.c + (size_t)row * p.ldc + c, y);
        }
#pragma unroll
        for (int v = 0; v < 8; v++) xs[0][v] = xs[1][v], xs[1][v] = xs[2][v], xs[2][v] = xs[3][v];
    }
}

template <int BN, int STAGES, int WHERE>
__device__ __forceinline__ void gemm(const CUtensorMap* a, const CUtensorMap* b, const Product& p) {
    constexpr int BM = 128, BK = 64, STAGE = (BM + BN) * BK * 2;
    extern __shared__ unsigned char memory[];
    unsigned char* ring = aligned(memory);
    __shared__ uint64_t barriers[2 * STAGES];
    const uint32_t first = shared(barriers), tiles = shared(ring);
    auto full = [&](int i) { return Barrier(first + i % STAGES * 16); };
    auto empty = [&](int i) { return Barrier(first + i % STAGES * 16 + 8); };
    // With the convolution, the first rows of a block are those that its first outputs look back to.
    const int rows = p.wave->rows, back = WHERE == CONV ? BACK : 0;
    const int m0 = blockIdx.y * (BM - back) - back, n0 = blockIdx.x * BN;
    if (m0 + back >= rows) return;
    const int steps = (p.k + BK - 1) / BK, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; s++) full(s).init(1), empty(s).init(2);
    }
    barriers_made();
    const int group = warp / 4;
    __shared__ ConvShared<BN> conv[1];
    auto fill = [&](int i) {
        const uint32_t to = tiles + i % STAGES * STAGE;
        full(i).expect(STAGE);
        copy_box(to, a, i * BK, m0, full(i));
        copy_box(to + BM * BK * 2, b, i * BK, n0, full(i));
    };
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES && i < steps; i++) fill(i);
    }
    if (WHERE == CONV && n0 < p.split) fetch<BN>(conv[0], p, m0, n0, rows);
    float d[BN / 2];
#pragma unroll
    for (int i = 0; i < BN / 2; i++) d[i] = 0.f;
    for (int i = 0; i < steps; i++) {
        int s = i % STAGES;
        full(i).wait((i / STAGES) & 1);
        uint64_t ta = tile(ring + s * STAGE + group * 64 * BK * 2), tb = tile(ring + s * STAGE + BM * BK * 2);
        products_begin();
#pragma unroll
        for (int k = 0; k < BK / 16; k++) Products<BN>::add(d, ta + k * 2, tb + k * 2);
        products_commit();
        if (i == 0) continue;
        products_wait<1>();
        const int free = i - 1;
        if (threadIdx.x % 128 == 0) empty(free).arrive();
        if (threadIdx.x == 0 && free + STAGES < steps) {
            empty(free).wait((free / STAGES) & 1);
            fill(free + STAGES);
        }
    }
    products_wait<0>();

    const int row = m0 + group * 64 + (warp % 4) * 16 + lane / 4, q = lane % 4;
    if (p.bias) {
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
            int col = n0 + j * 8 + q * 2;
            float b0 = col < p.n ? p.bias[col] : 0.f, b1 = col + 1 < p.n ? p.bias[col + 1] : 0.f;
            d[4 * j] += b0, d[4 * j + 1] += b1, d[4 * j + 2] += b0, d[4 * j + 3] += b1;
        }
    }
    if (WHERE == CONV && n0 >= p.split) {  // the gate, before it is rounded
#pragma unroll
        for (int i = 0; i < BN / 2; i++) d[i] = Maths<bf16>::silu(d[i]);
    }
    if (WHERE == STORE || (WHERE == CONV && n0 >= p.split)) {
        store_rows<BN>((bf16*)(WHERE == CONV ? p.c2 : p.c), WHERE == CONV ? p.ldc2 : p.ldc, row, rows, m0 + back,
                       WHERE == CONV ? n0 - p.split : n0, d, q);
    } else if (WHERE == CONV) {
        convolve<BN>(p, conv[0], ring, m0, n0, d);
    } else if (WHERE == NORM) {
        add_rows<BN, true>((float*)p.c, p.ldc, row, rows, BN, 0, d, q);
        float squares[2] = {0.f, 0.f};
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float x = d[4 * j + 2 * half], y = d[4 * j + 2 * half + 1];
                squares[half] = fmaf(x, x, squares[half]);
                squares[half] = fmaf(y, y, squares[half]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            squares[half] += __shfl_xor_sync(~0u, squares[half], 1);
            squares[half] += __shfl_xor_sync(~0u, squares[half], 2);
            squares[half] = 1.f / sqrtf(squares[half] / p.n + p.eps);
        }
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
            float2 w = *reinterpret_cast<const float2*>(p.weight + j * 8 + q * 2);
            d[4 * j] *= squares[0] * w.x, d[4 * j + 1] *= squares[0] * w.y;
            d[4 * j + 2] *= squares[1] * w.x, d[4 * j + 3] *= squares[1] * w.y;
        }
        store_rows<BN>((bf16*)p.c2, p.ldc2, row, rows, 0, 0, d, q);
    } else if (WHERE == ADD) {
        if (n0 + BN <= p.n) {
            add_rows<BN, true>((float*)p.c, p.ldc, row, rows, p.n, n0, d, q);
        } else {
            add_rows<BN, false>((float*)p.c, p.ldc, row, rows, p.n, n0, d, q);
        }
    } else {
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int r = row + 8 * half, col = n0 + j * 8 + q * 2;
                float2 v = make_float2(d[4 * j + 2 * half], d[4 * j + 2 * half + 1]);
                if (r >= rows || col >= p.n) continue;
                if (WHERE == SPLIT && col < p.split) {
                    *reinterpret_cast<uint32_t*>((bf16*)p.c + (size_t)r * p.ldc + col) = pack(v.x, v.y);
                } else if (WHERE == SPLIT) {
                    *reinterpret_cast<float2*>((float*)p.c2 + (size_t)r * p.ldc2 + col - p.split) = v;
                } else {
                    *reinterpret_cast<float2*>((float*)p.c + (size_t)r * p.ldc + col) = v;
                }
            }
        }
    }
}

#define GEMM(NAME, BN, STAGES, WHERE, BLOCKS)                                                                      \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS)                                                      \
        NAME(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b, const Product p) {      \
        gemm<BN, STAGES, WHERE>(&a, &b, p);                                                                        \
    }
GEMM(gemm_store_64, 64, 4, STORE, 2)
GEMM(gemm_store_96, 96, 4, STORE, 2)
GEMM(gemm_store_128, 128, 3, STORE, 2)
GEMM(gemm_add_64, 64, 4, ADD, 2)
GEMM(gemm_add_96, 96, 4, ADD, 2)
GEMM(gemm_add_128, 128, 3, ADD, 2)
GEMM(gemm_wide_64, 64, 4, WIDE, 2)
GEMM(gemm_wide_96, 96, 4, WIDE, 2)
GEMM(gemm_wide_128, 128, 3, WIDE, 2)
GEMM(gemm_split_64, 64, 4, SPLIT, 2)
GEMM(gemm_split_96, 96, 4, SPLIT, 2)
GEMM(gemm_split_128, 128, 3, SPLIT, 2)
GEMM(gemm_norm_256, 256, 3, NORM, 1)
GEMM(gemm_conv_128, 128, 3, CONV, 2)
// Deep products: one block a multiprocessor, twice as wide.
GEMM(gemm_store_256, 256, 4, STORE, 1)
GEMM(gemm_add_256, 256, 4, ADD, 1)
GEMM(gemm_conv_256, 256, 4, CONV, 1)
