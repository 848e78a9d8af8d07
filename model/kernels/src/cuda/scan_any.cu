// The scan of scan.cu for any number of states, on any card.
#include "scan.cuh"

// Any n: a thread carries one channel, whose states stay where they are.
template <class T> __device__ __forceinline__ void scan_any(const Scan& p, int n) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y;
    const Wave wave = *p.wave;
    if (channel >= p.d_in || i >= wave.segments + wave.steps) return;
    const bool step = i >= wave.segments;
    const int row = step ? wave.step_row + i - wave.segments : p.segments[i].row, len = step ? 1 : p.segments[i].len;
    float* state = p.states + (step ? p.step_slots[i - wave.segments] : p.segments[i].slot) * p.slot_stride;
    float* h = state + (size_t)(p.k - 1) * p.d_in + (size_t)channel * n;
    const float *a = p.a2 + (size_t)channel * n, bias = p.dt_bias[channel], skip = p.d[channel];
    for (int t = row; t < row + len; t++) {
        const float* bc = p.bc + (size_t)t * 2 * n;
        float u = f32(((const T*)p.u)[(size_t)t * p.d_in + channel]);
        float dt = Maths<T>::softplus(((const float*)p.dt)[(size_t)t * p.d_in + channel] + bias), sum = 0.f;
        for (int j = 0; j < n; j++) {
            float next = fmaf(ex2(dt * a[j]), h[j], dt * u * bc[j]);
            if (!wave.peeks) h[j] = next;
            sum = fmaf(next, bc[n + j], sum);
        }
        float z = f32(((const T*)p.z)[(size_t)t * p.ld_z + channel]);
        ((T*)p.y)[(size_t)t * p.d_in + channel] = from<T>(fmaf(skip, u, sum) * Maths<T>::silu(z));
    }
    if (!wave.peeks) move_window<T>(p, state, channel, row, len);
}
extern "C" __global__ void scan_any_bf16(const Scan p, int n) { scan_any<bf16>(p, n); }
extern "C" __global__ void scan_any_f32(const Scan p, int n) { scan_any<float>(p, n); }
