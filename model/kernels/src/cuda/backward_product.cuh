// Matrix products c = a b (+ add) (+ bias), with f32 sums: tensor cores for bf16, plain multiply-adds for f32.
//
// An operand lies with the sum's index along its rows, or across them ("across": `[k, m]`, `[k, n]`). A layer needs three
// forms: y = x Wᵀ (neither across), dx = dy W (b across), dW = dyᵀ x (both across; cut along the tokens, the parts summed
// by another kernel). m, n, k are multiples of 8, save that tokens may be any number.
#pragma once
#include "backward_base.cuh"

struct Product {
    const void *a, *b;
    void* c;
    /// As c, or null. It may be c.
    const void* add;
    /// `[n]`, or null.
    const float* bias;
    int m, n, k;
    /// Values from row to row of a, b, c.
    int lda, ldb, ldc;
    /// The sum's length of one block of the grid's z; each z writes an `[m, ldc]` of its own.
    int k_part;
    /// c = softplus of it all.
    int softplus;
};

constexpr int PRODUCT_THREADS = 256;

/// Eight results to their place in c.
template <class Out> DEVICE void finish8(const Product& p, int row, int column, float (&v)[8]) {
    const size_t at = (size_t(blockIdx.z) * p.m + row) * p.ldc + column;
    float w[8];
    if (p.bias) {
        load8(p.bias + column, w);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += w[i];
    }
    if (p.add) {
        load8(static_cast<const Out*>(p.add) + at, w);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += w[i];
    }
    if (p.softplus)
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = softplus(v[i]);
    store8(static_cast<Out*>(p.c) + at, v);
}

namespace tensor {
constexpr int BM = 128, BK = 32, STAGES = 4;

/// Bytes of dynamic shared memory.
constexpr int shared_bytes(int bn) {
    const int stages = STAGES * (BM + bn) * BK * 2, results = BM * (bn + 8) * 4;
    return stages > results ? stages : results;
}

/// A tile in shared memory: rows of COLUMNS bf16, whose 16-byte pieces are swapped so that eight rows' pieces lie in
/// different banks.
template <int ROWS, int COLUMNS> struct Tile {
    static constexpr int PIECES = COLUMNS / 8, BYTES = ROWS * COLUMNS * 2;

    DEVICE static int place(int row, int piece) {
        return (row * PIECES + (PIECES == 4 ? piece ^ (row / 2 % 4) : piece ^ (row % 8))) * 16;
    }
    /// Fetches it from row0, column0 on; zeros from row `rows` and column `columns` on.
    DEVICE static void fetch(unsigned char* to, const bf16* from, int stride, int row0, int rows, int column0, int columns) {
#pragma unroll
        for (int i = threadIdx.x; i < ROWS * PIECES; i += PRODUCT_THREADS) {
            const int row = i / PIECES, piece = i % PIECES;
            const bool valid = row0 + row < rows && column0 + piece * 8 < columns;
            copy_async(to + place(row, piece), valid ? from + size_t(row0 + row) * stride + column0 + piece * 8 : from, valid);
        }
    }
};

/// An operand's tile, W values by BK of the sum.
template <int W, bool ACROSS> struct Operand {
    using T = Tile<ACROSS ? BK : W, ACROSS ? W : BK>;

    DEVICE static void fetch(unsigned char* to, const bf16* from, int stride, int w0, int w, int k0, int k) {
        if (ACROSS) T::fetch(to, from, stride, k0, k, w0, w);
        else T::fetch(to, from, stride, w0, w, k0, k);
    }
    /// 16 values by 16 of the sum, from (w, k) on, as four 8 x 8 matrices: the value's half moves first where A_ORDER,
    /// else the sum's.
    template <bool A_ORDER> DEVICE static void fragment(const unsigned char* tile, int w, int k, int lane, uint32_t (&r)[4]) {
        const int first = lane / 8 % 2 * 8, second = lane / 16 * 8;
        const int w_half = A_ORDER ? first : second, k_half = A_ORDER ? second : first;
        if (ACROSS) load_matrices<true>(r, tile + T::place(k + k_half + lane % 8, (w + w_half) / 8));
        else load_matrices<false>(r, tile + T::place(w + w_half + lane % 8, (k + k_half) / 8));
    }
};

template <int BN, bool A_ACROSS, bool B_ACROSS, class Out> DEVICE void product(const Product& p) {
    using A = Operand<BM, A_ACROSS>;
    using B = Operand<BN, B_ACROSS>;
    constexpr int STAGE = A::T::BYTES + B::T::BYTES;
    constexpr int WARPS_N = BN / 32, WARPS_M = 8 / WARPS_N, WM = BM / WARPS_M; // a warp's tile: WM x 32
    constexpr int MI = WM / 16, NI = 4, PAD = BN + 8;
    DYNAMIC_SHARED(shared);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warp_m = warp / WARPS_N * WM, warp_n = warp % WARPS_N * 32;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int k0 = blockIdx.z * p.k_part, k1 = min(p.k, k0 + p.k_part), steps = (k1 - k0 + BK - 1) / BK;
    const bf16 *a = static_cast<const bf16*>(p.a), *b = static_cast<const bf16*>(p.b);
    auto fetch = [&](int step) {
        if (step < steps) {
            unsigned char* stage = shared + step % STAGES * STAGE;
            A::fetch(stage, a, p.lda, m0, p.m, k0 + step * BK, k1);
            B::fetch(stage + A::T::BYTES, b, p.ldb, n0, p.n, k0 + step * BK, k1);
        }
        copy_commit();
    };
    float sums[MI][NI][4] = {};
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) fetch(i);
    for (int step = 0; step < steps; step++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        fetch(step + STAGES - 1);
        const unsigned char *stage_a = shared + step % STAGES * STAGE, *stage_b = stage_a + A::T::BYTES;
#pragma unroll
        for (int k = 0; k < BK; k += 16) {
            uint32_t fa[MI][4], fb[NI / 2][4];
#pragma unroll
            for (int i = 0; i < MI; i++) A::template fragment<true>(stage_a, warp_m + i * 16, k, lane, fa[i]);
#pragma unroll
            for (int i = 0; i < NI / 2; i++) B::template fragment<false>(stage_b, warp_n + i * 16, k, lane, fb[i]);
#pragma unroll
            for (int i = 0; i < MI; i++)
#pragma unroll
                for (int j = 0; j < NI; j++) multiply_add(sums[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
        }
    }
    copy_wait<0>();
    __syncthreads();
    float* results = reinterpret_cast<float*>(shared);
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < NI; j++) {
            float* to = results + (warp_m + i * 16 + lane / 4) * PAD + warp_n + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2*>(to) = float2{sums[i][j][0], sums[i][j][1]};
            *reinterpret_cast<float2*>(to + 8 * PAD) = float2{sums[i][j][2], sums[i][j][3]};
        }
    __syncthreads();
    for (int i = threadIdx.x; i < BM * BN / 8; i += PRODUCT_THREADS) {
        const int row = i / (BN / 8), column = i % (BN / 8) * 8;
        if (m0 + row >= p.m || n0 + column >= p.n) continue;
        float v[8];
        load8(results + row * PAD + column, v);
        finish8<Out>(p, m0 + row, n0 + column, v);
    }
}
} // namespace tensor

namespace plain {
constexpr int TILE = 64, BK = 16;

template <bool A_ACROSS, bool B_ACROSS> DEVICE void product(const Product& p) {
    __shared__ __align__(16) float as[BK][TILE + 4], bs[BK][TILE + 4], results[TILE][TILE + 4];
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE, row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    const int k0 = blockIdx.z * p.k_part, k1 = min(p.k, k0 + p.k_part);
    const float *a = static_cast<const float*>(p.a), *b = static_cast<const float*>(p.b);
    float sums[4][4] = {};
    for (int k = k0; k < k1; k += BK) {
        __syncthreads();
        for (int i = threadIdx.x; i < TILE * BK; i += PRODUCT_THREADS) {
            const int wa = A_ACROSS ? i % TILE : i / BK, ka = A_ACROSS ? i / TILE : i % BK;
            const int wb = B_ACROSS ? i % TILE : i / BK, kb = B_ACROSS ? i / TILE : i % BK;
            const bool in_a = m0 + wa < p.m && k + ka < k1, in_b = n0 + wb < p.n && k + kb < k1;
            as[ka][wa] = in_a ? a[A_ACROSS ? size_t(k + ka) * p.lda + m0 + wa : size_t(m0 + wa) * p.lda + k + ka] : 0.f;
            bs[kb][wb] = in_b ? b[B_ACROSS ? size_t(k + kb) * p.ldb + n0 + wb : size_t(n0 + wb) * p.ldb + k + kb] : 0.f;
        }
        __syncthreads();
#pragma unroll
        for (int kk = 0; kk < BK; kk++) {
            float x[4], y[4];
            load_shared<4>(&as[kk][row], x);
            load_shared<4>(&bs[kk][column], y);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] += x[i] * y[j];
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) store4(&results[row + i][column], sums[i]);
    __syncthreads();
    for (int i = threadIdx.x; i < TILE * TILE / 8; i += PRODUCT_THREADS) {
        const int r = i / (TILE / 8), c = i % (TILE / 8) * 8;
        if (m0 + r >= p.m || n0 + c >= p.n) continue;
        float v[8];
        load8(&results[r][c], v);
        finish8<float>(p, m0 + r, n0 + c, v);
    }
}
} // namespace plain
