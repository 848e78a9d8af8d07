// The kernels of training by name: `<what>_<rows' type>`, the scan's also `_<states>`.
#include "backward_adam.cuh"
#include "backward_conv.cuh"
#include "backward_norm.cuh"
#include "backward_product.cuh"
#include "backward_scan_carry.cuh"
#include "backward_series.cuh"
#include "backward_sum.cuh"
#include "backward_tokens.cuh"

// As src/cuda/backward/args.rs has them.
static_assert(sizeof(Batch) == 32 && sizeof(ScanRows<bf16>) == 80 && sizeof(ScanBack<bf16>) == 72, "arguments of the scan");
static_assert(sizeof(Conv<bf16>) == 40 && sizeof(Norm) == 32 && sizeof(Product) == 72, "arguments of the others");
static_assert(sizeof(Quantiles) == 96 && sizeof(CrossEntropy) == 48 && sizeof(Adam) == 96 && sizeof(Report) == 40, "arguments of training");

#define KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)

// FORWARD, BACKWARD: channels a thread, as src/cuda/backward/shape.rs has them. BLOCKS: on a multiprocessor, forward.
#define SCAN(S, NAME, STATES, FORWARD, BACKWARD, BLOCKS)                                                                         \
    KERNEL(SCAN_THREADS, BLOCKS) scan_forward_##NAME##_##STATES(ScanRows<S> rows, Batch batch, S* y, S* g) {                     \
        scan_forward<S, FORWARD, STATES / 4>(rows, batch, y, g);                                                                 \
    }                                                                                                                            \
    KERNEL(SCAN_THREADS, 2) scan_backward_##NAME##_##STATES(ScanRows<S> rows, Batch batch, ScanBack<S> back) {                   \
        scan_backward<S, BACKWARD, STATES / 4>(rows, batch, back);                                                               \
    }                                                                                                                            \
    KERNEL(SCAN_THREADS, BLOCKS) carry_forward_##NAME##_##STATES(ScanRows<S> rows, Batch batch) {                                \
        carry_forward<S, FORWARD, STATES / 4>(rows, batch);                                                                      \
    }                                                                                                                            \
    KERNEL(SCAN_THREADS, BLOCKS) carry_backward_##NAME##_##STATES(ScanRows<S> rows, Batch batch, ScanBack<S> back) {             \
        carry_backward<S, FORWARD, STATES / 4>(rows, batch, back);                                                               \
    }

#define NORM(S, NAME, PIECES)                                                                                                    \
    KERNEL(NORM_THREADS, 1) norm_forward_##NAME##_##PIECES(Norm p, S* y) { norm_forward<S, PIECES>(p, y); }                      \
    KERNEL(NORM_THREADS, 1) norm_backward_##NAME##_##PIECES(Norm p, const S* dy, float* dx, S* dx_narrow, float* sums) {         \
        norm_backward<S, S, PIECES>(p, dy, true, dx, dx_narrow, sums);                                                           \
    }                                                                                                                            \
    KERNEL(NORM_THREADS, 1) last_norm_backward_##NAME##_##PIECES(Norm p, const float* dy, float* dx, S* dx_narrow, float* sums) {\
        norm_backward<float, S, PIECES>(p, dy, false, dx, dx_narrow, sums);                                                      \
    }

#define ROWS(S, NAME)                                                                                                            \
    SCAN(S, NAME, 16, 2, 4, 4)                                                                                                   \
    SCAN(S, NAME, 32, 2, 2, 2)                                                                                                   \
    SCAN(S, NAME, 64, 1, 1, 2)                                                                                                   \
    KERNEL(CONV_THREADS, 2) conv_forward_##NAME##_4(Conv<S> p, S* u) { conv_forward<S, 4>(p, u); }                               \
    KERNEL(CONV_THREADS, 1) conv_forward_##NAME##_8(Conv<S> p, S* u) { conv_forward<S, 8>(p, u); }                               \
    KERNEL(CONV_THREADS, 2) conv_backward_##NAME##_4(Conv<S> p, const S* du, S* dxz, float* sums) {                              \
        conv_backward<S, 4>(p, du, dxz, sums);                                                                                   \
    }                                                                                                                            \
    KERNEL(CONV_THREADS, 1) conv_backward_##NAME##_8(Conv<S> p, const S* du, S* dxz, float* sums) {                              \
        conv_backward<S, 8>(p, du, dxz, sums);                                                                                   \
    }                                                                                                                            \
    NORM(S, NAME, 2)                                                                                                             \
    NORM(S, NAME, 8)                                                                                                             \
    NORM(S, NAME, 32)                                                                                                            \
    KERNEL(SUM_COLUMNS * SUM_LANES, 2) sum_columns_##NAME(const S* rows, int tokens, int width, float* out) {                    \
        sum_columns<S>(rows, tokens, width, out);                                                                                \
    }                                                                                                                            \
    KERNEL(256, 4) sum_blocks_##NAME(const float* dbc, int blocks, int tokens, int count, int width, S* rows) {                  \
        sum_blocks<S>(dbc, blocks, tokens, count, width, rows);                                                                  \
    }                                                                                                                            \
    KERNEL(SERIES_THREADS, 4) silu_forward_##NAME(const S* x, size_t count, S* y) { silu_forward<S>(x, count, y); }              \
    KERNEL(SERIES_THREADS, 4) silu_backward_##NAME(const S* x, const S* dy, size_t count, S* dx) {                               \
        silu_backward<S>(x, dy, count, dx);                                                                                      \
    }                                                                                                                            \
    KERNEL(SERIES_THREADS, 4) quantile_loss_##NAME(Quantiles p, S* d_outputs) { quantile_loss<S>(p, d_outputs); }                \
    KERNEL(TOKEN_THREADS, 4) cross_entropy_##NAME(CrossEntropy p, S* d_outputs) { cross_entropy<S>(p, d_outputs); }

ROWS(bf16, bf16)
ROWS(float, f32)

KERNEL(CONV_THREADS, 4) token_bounds_all(const int* offsets, int sequences, int tokens, int* begins, int* ends) {
    token_bounds(offsets, sequences, tokens, begins, ends);
}
KERNEL(256, 4) embed_f32(const float* table, const int* ids, int dp, float* rows) { embed(table, ids, dp, rows); }
KERNEL(256, 4) sum_chosen_f32(const float* rows, const int* order, const int* cuts, int dp, float* out) {
    sum_chosen(rows, order, cuts, dp, out);
}
KERNEL(SUM_COLUMNS * SUM_LANES, 2) sum_parts_f32(const float* parts, int count, int width, float* out) {
    sum_parts(parts, count, width, out);
}
KERNEL(256, 4) sum_few_parts_f32(const float* parts, int count, int width, float* out) {
    sum_few_parts(parts, count, width, out);
}
KERNEL(256, 4) chain_forward_f32(const int* chained, int joints, const float* a, const float* dt_sums, int ip, int n, float* joined) {
    chain(chained, joints, a, dt_sums, ip, n, false, joined);
}
KERNEL(256, 4) chain_backward_f32(const int* chained, int joints, const float* a, const float* dt_sums, int ip, int n, float* joined) {
    chain(chained, joints, a, dt_sums, ip, n, true, joined);
}
KERNEL(256, 4) decay_rates_f32(const float* a_log, int count, float* a) { decay_rates(a_log, count, a); }
KERNEL(ADAM_THREADS, 4) sum_f64_all(const float* values, int count, int squares, double* sums) {
    sum_f64(values, count, squares != 0, sums);
}
KERNEL(ADAM_THREADS, 1) report_loss_f64(const double* sums, int count, Report* report) { report_loss(sums, count, report); }
KERNEL(ADAM_THREADS, 1) report_norm_f64(const double* sums, int count, Report* report) { report_norm(sums, count, report); }
KERNEL(ADAM_THREADS, 4) adam_f32(Adam p) { adam(p); }
KERNEL(ADAM_THREADS, 4) add_to_f32(float* a, const float* b, int count) { add_to(a, b, count); }
KERNEL(256, 4) narrow_bf16(const float* from, int count, bf16* to) { narrow_all(from, count, to); }

// Products by form, result's type and width of the tile.
#define PRODUCT(NAME, A_ACROSS, B_ACROSS, OUT)                                                                                   \
    KERNEL(PRODUCT_THREADS, 2) product_##NAME##_128(Product p) { tensor::product<tensor::Wide, A_ACROSS, B_ACROSS, OUT>(p); }    \
    KERNEL(PRODUCT_THREADS, 2) product_##NAME##_64(Product p) { tensor::product<tensor::Narrow, A_ACROSS, B_ACROSS, OUT>(p); }
PRODUCT(forward_bf16, false, false, bf16)
PRODUCT(forward_sum, false, false, float)
PRODUCT(back_bf16, false, true, bf16)
PRODUCT(back_sum, false, true, float)
PRODUCT(weight_bf16, true, true, float)
KERNEL(PRODUCT_THREADS, 2) product_forward_f32(Product p) { plain::product<false, false>(p); }
KERNEL(PRODUCT_THREADS, 2) product_back_f32(Product p) { plain::product<false, true>(p); }
KERNEL(PRODUCT_THREADS, 2) product_weight_f32(Product p) { plain::product<true, true>(p); }
