// What is made of hidden rows before they leave the card: pools over spans of rows, and products with a narrow head.
// Both are sums in f64 in one order, the host's, so that it makes no difference to a bit who computes them.
#include "common.cuh"

// Rows of the wave that a pool takes in next, oldest first. A fresh pool has none yet.
struct Piece {
    int row, rows, pool, fresh;
};

constexpr int POOLED = 64;  // columns of a block
constexpr int AHEAD = 16;   // rows whose loads are under way together

// sums, last, greatest: [pools, d].
extern "C" __global__ void __launch_bounds__(POOLED)
    pool_rows(const Piece* pieces, const float* x, int d, double* sums, float* last, float* greatest) {
    const Piece piece = pieces[blockIdx.x];
    const int c = blockIdx.y * POOLED + threadIdx.x;
    if (c >= d) return;
    const size_t at = (size_t)piece.pool * d + c;
    double sum = piece.fresh ? 0. : sums[at];
    float most = piece.fresh ? -INFINITY : greatest[at], value = 0.f;
    const float* from = x + (size_t)piece.row * d + c;
    int row = 0;
    for (; row + AHEAD <= piece.rows; row += AHEAD) {
        float values[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) values[i] = from[(size_t)(row + i) * d];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            value = values[i];
            sum += (double)value;
            most = value > most ? value : most;
        }
    }
    for (; row < piece.rows; row++) {
        value = from[(size_t)row * d];
        sum += (double)value;
        most = value > most ? value : most;
    }
    sums[at] = sum, last[at] = value, greatest[at] = most;
}

constexpr int ROWS = 64, COLS = 32;

// y [rows, 4] = x [rows, d] weight [d, 4]: columns are added one after the other, each product rounded, as on the host.
extern "C" __global__ void __launch_bounds__(ROWS)
    head_rows(const Wave* wave, const float* x, int d, const double* weight, double* y) {
    __shared__ float tile[ROWS][COLS + 1];
    __shared__ double w[COLS][4];
    const int first = blockIdx.x * ROWS, rows = min(ROWS, wave->rows - first);
    double sum[4] = {0., 0., 0., 0.};
    for (int c0 = 0; c0 < d; c0 += COLS) {
        const int cols = min(COLS, d - c0);
        __syncthreads();
        for (int i = threadIdx.x; i < ROWS * COLS; i += ROWS) {
            const int row = i / COLS, c = i % COLS;
            tile[row][c] = row < rows && c < cols ? x[(size_t)(first + row) * d + c0 + c] : 0.f;
        }
        for (int i = threadIdx.x; i < cols * 4; i += ROWS) w[i / 4][i % 4] = weight[(size_t)c0 * 4 + i];
        __syncthreads();
        for (int c = 0; c < cols; c++) {
            const double h = tile[threadIdx.x][c];
#pragma unroll
            for (int k = 0; k < 4; k++) sum[k] = __dadd_rn(sum[k], __dmul_rn(h, w[c][k]));
        }
    }
    if ((int)threadIdx.x >= rows) return;
#pragma unroll
    for (int k = 0; k < 4; k++) y[(size_t)(first + threadIdx.x) * 4 + k] = sum[k];
}
