// What every scan of Mamba-1 is given, how it moves windows on, and the order of its sums over n.
#pragma once
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
    const void* x;         // [rows, ld_x]: the convolution's input, for the window; none where that has moved on already
    const void* z;         // [rows, ld_z], or silu of it: `gated`
    const void* u;         // [rows, d_in]
    const void* dt;        // [rows, r] bf16, or [rows, d_in] f32
    const float* bc;       // [rows, 32]: B, C
    void* y;               // [rows, d_in]
    int d_in, r, k, ld_x, ld_z, gated;
};

// The window moves on, where it has not yet: the last k - 1 inputs of the segment, older ones from before where it is shorter.
template <class T> __device__ __forceinline__ void move_window(const Scan& p, float* window, int channel, int row, int len) {
    if (!p.x) return;
    for (int j = 0; j < p.k - 1; j++) {
        int at = len - (p.k - 1) + j;
        float* to = window + (size_t)j * p.d_in + channel;
        if (at < 0) {
            *to = window[(size_t)(j + len) * p.d_in + channel];
        } else {
            *to = f32(((const T*)p.x)[(size_t)(row + at) * p.ld_x + channel]);
        }
    }
}

constexpr int CHANNELS = 64;  // of a block

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

// dt of 16 rows and 8 channels on the matrix units.
__device__ __forceinline__ void dt_step(float (&c)[4], const bf16* row0, const bf16* row8, uint32_t b0, uint32_t b1) {
    uint32_t a[4] = {*(const uint32_t*)row0, *(const uint32_t*)row8, *(const uint32_t*)(row0 + 8), *(const uint32_t*)(row8 + 8)};
    uint32_t b[2] = {b0, b1};
    mma(c, a, b);
}
