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
/// How a product is cut: a block's tile, the piece of the sum in shared memory, how many such pieces are on their way, and
/// the warps of a block along m and n.
template <int M, int N, int K, int STAGES_, int WARPS_M_, int WARPS_N_> struct Cut {
    static constexpr int BM = M, BN = N, BK = K, STAGES = STAGES_, WARPS_M = WARPS_M_, WARPS_N = WARPS_N_;
    static constexpr int THREADS = 32 * WARPS_M * WARPS_N, PAD = BN + 8;
    static constexpr int STAGE = (BM + BN) * BK * 2, RESULTS = BM * PAD * 4;
    /// Bytes of dynamic shared memory.
    static constexpr int SHARED = STAGES * STAGE > RESULTS ? STAGES * STAGE : RESULTS;
};

/// An operand's tiles in shared memory: W values by K of the sum, in rows of 16-byte pieces that are swapped so that eight
/// rows' pieces lie in different banks.
template <int W, int K, bool ACROSS, int THREADS> struct Operand {
    static constexpr int ROWS = ACROSS ? K : W, PIECES = (ACROSS ? W : K) / 8, BYTES = ROWS * PIECES * 16;
    /// What a thread brings: the same piece of rows so far apart.
    static constexpr int APART = THREADS / PIECES, EACH = ROWS / APART;
    static_assert(ROWS % APART == 0 && APART % 8 == 0, "threads share a tile evenly");

    /// This thread's first piece: where from, where to, and how much there is.
    const bf16* from;
    size_t row_step, tile_step;
    int to, rows_left, k_left;
    bool within;

    DEVICE static int place(int row, int piece) {
        return (row * PIECES + (PIECES == 4 ? piece ^ (row / 2 % 4) : piece ^ (row % 8))) * 16;
    }

    /// values: `[w, k]`, or `[k, w]` across, from (w0, k0) on.
    DEVICE Operand(const bf16* values, int stride, int w0, int w, int k0, int k) {
        const int row = threadIdx.x / PIECES, piece = threadIdx.x % PIECES;
        const int row0 = (ACROSS ? k0 : w0) + row, column = (ACROSS ? w0 : k0) + piece * 8;
        from = values + size_t(row0) * stride + column;
        row_step = size_t(APART) * stride;
        tile_step = ACROSS ? size_t(K) * stride : K;
        to = place(row, piece);
        rows_left = (ACROSS ? k : w) - row0;
        k_left = k - column;
        within = column < w;
    }

    /// Fetches the next K of the sum, with zeros for what is not there.
    DEVICE void fetch(unsigned char* tile, const bf16* anywhere) {
        const bool in = ACROSS ? within : k_left > 0;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const bool valid = in && i * APART < rows_left;
            copy_async(tile + to + i * APART * PIECES * 16, valid ? from + i * row_step : anywhere, valid);
        }
        from += tile_step;
        if (ACROSS) rows_left -= K;
        else k_left -= K;
    }

    /// 16 values by 16 of the sum, from (w, k) on, as four 8 x 8 matrices: the value's half moves first where A_ORDER,
    /// else the sum's.
    template <bool A_ORDER> DEVICE static void fragment(const unsigned char* tile, int w, int k, int lane, uint32_t (&r)[4]) {
        const int first = lane / 8 % 2 * 8, second = lane / 16 * 8;
        const int w_half = A_ORDER ? first : second, k_half = A_ORDER ? second : first;
        if (ACROSS) load_matrices<true>(r, tile + place(k + k_half + lane % 8, (w + w_half) / 8));
        else load_matrices<false>(r, tile + place(w + w_half + lane % 8, (k + k_half) / 8));
    }
};

template <class C, bool A_ACROSS, bool B_ACROSS, class Out> DEVICE void product(const Product& p) {
    using A = Operand<C::BM, C::BK, A_ACROSS, C::THREADS>;
    using B = Operand<C::BN, C::BK, B_ACROSS, C::THREADS>;
    constexpr int WM = C::BM / C::WARPS_M, WN = C::BN / C::WARPS_N, MI = WM / 16, NI = WN / 8; // a warp's tile
    DYNAMIC_SHARED(shared);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int warp_m = warp / C::WARPS_N * WM, warp_n = warp % C::WARPS_N * WN;
    const int m0 = blockIdx.y * C::BM, n0 = blockIdx.x * C::BN;
    const int k0 = blockIdx.z * p.k_part, k1 = min(p.k, k0 + p.k_part), steps = (k1 - k0 + C::BK - 1) / C::BK;
    const bf16 *all_a = static_cast<const bf16*>(p.a), *all_b = static_cast<const bf16*>(p.b);
    A a(all_a, p.lda, m0, p.m, k0, k1);
    B b(all_b, p.ldb, n0, p.n, k0, k1);
    int writing = 0, reading = 0, fetched = 0; // bytes of shared memory, steps
    auto fetch = [&]() {
        if (fetched++ < steps) {
            a.fetch(shared + writing, all_a);
            b.fetch(shared + writing + A::BYTES, all_b);
            writing = writing + C::STAGE == C::STAGES * C::STAGE ? 0 : writing + C::STAGE;
        }
        copy_commit();
    };
    float sums[MI][NI][4] = {};
#pragma unroll
    for (int i = 0; i < C::STAGES - 1; i++) fetch();
    for (int step = 0; step < steps; step++) {
        copy_wait<C::STAGES - 2>();
        __syncthreads();
        fetch();
        const unsigned char *tile_a = shared + reading, *tile_b = tile_a + A::BYTES;
        reading = reading + C::STAGE == C::STAGES * C::STAGE ? 0 : reading + C::STAGE;
#pragma unroll
        for (int k = 0; k < C::BK; k += 16) {
            uint32_t fa[MI][4], fb[NI / 2][4];
#pragma unroll
            for (int i = 0; i < MI; i++) A::template fragment<true>(tile_a, warp_m + i * 16, k, lane, fa[i]);
#pragma unroll
            for (int i = 0; i < NI / 2; i++) B::template fragment<false>(tile_b, warp_n + i * 16, k, lane, fb[i]);
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
            float* to = results + (warp_m + i * 16 + lane / 4) * C::PAD + warp_n + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2*>(to) = float2{sums[i][j][0], sums[i][j][1]};
            *reinterpret_cast<float2*>(to + 8 * C::PAD) = float2{sums[i][j][2], sums[i][j][3]};
        }
    __syncthreads();
    for (int i = threadIdx.x; i < C::BM * C::BN / 8; i += C::THREADS) {
        const int row = i / (C::BN / 8), column = i % (C::BN / 8) * 8;
        if (m0 + row >= p.m || n0 + column >= p.n) continue;
        float v[8];
        load8(results + row * C::PAD + column, v);
        finish8<Out>(p, m0 + row, n0 + column, v);
    }
}

using Wide = Cut<128, 128, 32, 4, 2, 4>;
using Narrow = Cut<128, 64, 32, 4, 4, 2>;
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
