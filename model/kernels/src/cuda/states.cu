// States as wholes: layers lie one after the other, in each all slots. And what a wave says of its rows.
#include "common.cuh"

// Four values a thread. grid: (parts of a layer, layers, slots).
__device__ __forceinline__ float4* place(float* states, size_t layer_stride, size_t slot_stride, int slot) {
    const size_t at = (size_t)(blockIdx.x * blockDim.x + threadIdx.x) * 4;
    return at < slot_stride ? (float4*)(states + blockIdx.y * layer_stride + slot * slot_stride + at) : nullptr;
}
__device__ __forceinline__ float4* packed(float* staging, size_t slot_stride) {
    const size_t at = (size_t)(blockIdx.x * blockDim.x + threadIdx.x) * 4;
    return (float4*)(staging + ((size_t)blockIdx.z * gridDim.y + blockIdx.y) * slot_stride + at);
}
extern "C" __global__ void states_zero(float* states, size_t layer_stride, size_t slot_stride, const int* slots) {
    float4* to = place(states, layer_stride, slot_stride, slots[blockIdx.z]);
    if (to) *to = make_float4(0.f, 0.f, 0.f, 0.f);
}
// slots: pairs of from, to.
extern "C" __global__ void states_copy(float* states, size_t layer_stride, size_t slot_stride, const int* slots) {
    const float4* from = place(states, layer_stride, slot_stride, slots[2 * blockIdx.z]);
    float4* to = place(states, layer_stride, slot_stride, slots[2 * blockIdx.z + 1]);
    if (to) *to = *from;
}
// staging: [slots, layers, values of a layer]
extern "C" __global__ void states_save(float* states, size_t layer_stride, size_t slot_stride, const int* slots, float* staging) {
    const float4* from = place(states, layer_stride, slot_stride, slots[blockIdx.z]);
    if (from) *packed(staging, slot_stride) = *from;
}
extern "C" __global__ void states_load(float* states, size_t layer_stride, size_t slot_stride, const int* slots, float* staging) {
    float4* to = place(states, layer_stride, slot_stride, slots[blockIdx.z]);
    if (to) *to = *packed(staging, slot_stride);
}

// A block a segment, then blocks of steps. `segments`: blocks of the first kind, of which the wave may use fewer.
extern "C" __global__ void wave_rows(const Wave* wave, const Segment* segments, const int* steps, RowInfo* info, int count) {
    const Wave w = *wave;
    if ((int)blockIdx.x < count) {
        if ((int)blockIdx.x >= w.segments) return;
        const Segment s = segments[blockIdx.x];
        for (int t = threadIdx.x; t < s.len; t += blockDim.x) info[s.row + t] = {t, s.len - t, (int)blockIdx.x, s.slot};
    } else {
        const int i = (blockIdx.x - count) * blockDim.x + threadIdx.x;
        if (i < w.steps) info[w.step_row + i] = {0, 1, w.segments + i, steps[i]};
    }
}
