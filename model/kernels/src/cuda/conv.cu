// The causal convolution of every channel and SiLU: y[t] = silu(bias + sum_j w[j] x[t - (k - 1) + j]), with what lies before
// a segment from its slot's window. The window itself is moved on later, after all who read it: by the scan, or below.
#include "common.cuh"

struct Conv {
    const Wave* wave;
    const Tile* tiles;
    const float* states;
    size_t slot_stride;
    const float* weight;  // [k, channels]
    const float* bias;    // [channels]
    const void* x;        // [rows, ld_x]
    void* y;              // [rows, channels]
    int channels, k, ld_x;
};

// Eight channels a thread; the last K - 1 inputs stay in registers.
template <class T, int K> __device__ __forceinline__ void conv(const Conv& p) {
    const int c = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (c >= p.channels || blockIdx.y >= p.wave->tiles) return;
    const Tile tile = p.tiles[blockIdx.y];
    float w[K][8], bias[8], x[K][8];
#pragma unroll
    for (int j = 0; j < K; j++) load8(p.weight + j * p.channels + c, w[j]);
    load8(p.bias + c, bias);
    const T* in = (const T*)p.x + c;
#pragma unroll
    for (int j = 0; j < K - 1; j++) {
        int t = tile.row - (K - 1) + j;
        if (t >= tile.first) {
            load8(in + (size_t)t * p.ld_x, x[j]);
        } else {
            load8(p.states + tile.slot * p.slot_stride + (size_t)(t - tile.first + K - 1) * p.channels + c, x[j]);
        }
    }
    T* out = (T*)p.y + (size_t)tile.row * p.channels + c;
    in += (size_t)tile.row * p.ld_x;
#pragma unroll 4
    for (int t = 0; t < tile.len; t++) {
        load8(in + (size_t)t * p.ld_x, x[K - 1]);
        float y[8];
#pragma unroll
        for (int v = 0; v < 8; v++) {
            float sum = bias[v];
#pragma unroll
            for (int j = 0; j < K; j++) sum = fmaf(w[j][v], x[j][v], sum);
            y[v] = Maths<T>::silu(sum);
        }
        store8(out + (size_t)t * p.channels, y);
#pragma unroll
        for (int j = 0; j < K - 1; j++) {
#pragma unroll
            for (int v = 0; v < 8; v++) x[j][v] = x[j + 1][v];
        }
    }
}
extern "C" __global__ void conv4_bf16(const Conv p) { conv<bf16, 4>(p); }
extern "C" __global__ void conv4_f32(const Conv p) { conv<float, 4>(p); }

// Any k, any number of channels: one channel a thread.
template <class T> __device__ __forceinline__ void conv_any(const Conv& p) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= p.channels || blockIdx.y >= p.wave->tiles) return;
    const Tile tile = p.tiles[blockIdx.y];
    const float* window = p.states + tile.slot * p.slot_stride + c;
    for (int t = tile.row; t < tile.row + tile.len; t++) {
        float sum = p.bias[c];
        for (int j = 0; j < p.k; j++) {
            int from = t - (p.k - 1) + j;
            float x = from >= tile.first ? f32(((const T*)p.x)[(size_t)from * p.ld_x + c])
                                         : window[(size_t)(from - tile.first + p.k - 1) * p.channels];
            sum = fmaf(p.weight[j * p.channels + c], x, sum);
        }
        ((T*)p.y)[(size_t)t * p.channels + c] = from<T>(Maths<T>::silu(sum));
    }
}
extern "C" __global__ void conv_any_bf16(const Conv p) { conv_any<bf16>(p); }
extern "C" __global__ void conv_any_f32(const Conv p) { conv_any<float>(p); }

// Where the convolution was part of a product (gemm.cu): windows of segments move on, to its `tails` [segments, 3, channels];
// older rows come from before where a segment is shorter. (Windows of single rows have moved on there.)
struct Windows {
    const Wave* wave;
    const Segment* segments;
    const bf16* tails;
    float* states;
    size_t slot_stride;
    int channels;
};
extern "C" __global__ void conv_windows(const Windows p) {
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= p.channels || blockIdx.y >= p.wave->segments) return;
    const Segment segment = p.segments[blockIdx.y];
    float* window = p.states + segment.slot * p.slot_stride + c;
    for (int j = 0; j < 3; j++) {
        window[(size_t)j * p.channels] = j < 3 - segment.len ? window[(size_t)(j + segment.len) * p.channels]
                                                             : f32(p.tails[(size_t)(blockIdx.y * 3 + j) * p.channels + c]);
    }
}
