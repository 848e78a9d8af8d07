// What the kernels for single rows share: step.cu, stack.cu, few.cu.
#pragma once
#include "common.cuh"

// A layer of Mamba-1 in the bf16 route.
struct Layer {
    const float* norm;     // [d]
    const float* in_bias;  // [2 d_in], or none
    const bf16* in_proj;   // [2 d_in, d], in lanes' order: for each 16 outputs and each 16 of k, 16 bytes a lane
    const float *conv_weight, *conv_bias;  // [4, d_in], [d_in]
    const bf16* x_proj;    // [r + 32, d_in], in lanes' order
    const bf16* dt_proj;   // [d_in, r]
    const float *dt_bias, *a2, *skip;  // [d_in], [d_in, 16], [d_in]
    const bf16* out_proj;  // [d, d_in], in lanes' order
    const float* out_bias; // [d], or none
    float* states;         // of slot 0
    long by_quads;         // the norm is that of a product's end, not that of norm.cu
};

// A row's RMS norm in bf16, a warp a row: in the order of a product's end, or of norm.cu. n: the lane's weights.
template <int D> __device__ __forceinline__ void norm_row(const float* from, bf16* to, const float4 (&n)[D / 128], bool by_quads, float eps) {
    const int lane = threadIdx.x % 32, q = lane % 4;
    float squares = 0.f;
    if (by_quads) {
#pragma unroll 16
        for (int c = q * 2; c < D; c += 8) {
            float2 v = *reinterpret_cast<const float2*>(from + c);
            squares = fmaf(v.x, v.x, squares);
            squares = fmaf(v.y, v.y, squares);
        }
        squares += __shfl_xor_sync(~0u, squares, 1);
        squares += __shfl_xor_sync(~0u, squares, 2);
    } else {
#pragma unroll
        for (int c = lane * 4; c < D; c += 128) {
            float4 v = *reinterpret_cast<const float4*>(from + c);
            squares = fmaf(v.x, v.x, squares);
            squares = fmaf(v.y, v.y, squares);
            squares = fmaf(v.z, v.z, squares);
            squares = fmaf(v.w, v.w, squares);
        }
#pragma unroll
        for (int m = 16; m >= 1; m >>= 1) squares += __shfl_xor_sync(~0u, squares, m);
    }
    const float scale = 1.f / sqrtf(squares / D + eps);
#pragma unroll
    for (int i = 0; i < D / 128; i++) {
        const int c = lane * 4 + i * 128;
        const float4 v = *reinterpret_cast<const float4*>(from + c), w = n[i];
        uint2 packed = by_quads ? make_uint2(pack(v.x * (scale * w.x), v.y * (scale * w.y)), pack(v.z * (scale * w.z), v.w * (scale * w.w)))
                                : make_uint2(pack(v.x * scale * w.x, v.y * scale * w.y), pack(v.z * scale * w.z, v.w * scale * w.w));
        *reinterpret_cast<uint2*>(to + c) = packed;
    }
}
