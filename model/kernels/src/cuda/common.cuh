// What all kernels share: types, maths with one meaning on every path, and Hopper's copy engine, barriers and matrix
// units behind small functions.
#pragma once
#include <cuda.h>
#include <cuda_bf16.h>
#include <stdint.h>

using bf16 = __nv_bfloat16;

// One batch on its way through a layer. Rows of all sequences lie end to end; a segment is the run of rows of one
// sequence, a step a segment of one row. Steps come last, one row each, from row `step_row` on.
struct Wave {
    int rows;
    int segments;  // of two rows or more
    int steps;
    int step_row;
    int tiles;  // of the convolution
    int peeks;  // steps alone, which leave their windows and states as they are
    int pad[2];
};
struct Segment {
    int row, len, slot, pad;
};
// A run of rows of one segment.
struct Tile {
    int row, len, first /* the segment's first row */, slot;
};

// What the convolution asks of a row: its place in its segment, rows left there (itself counted), the segment's number.
struct RowInfo {
    int at, left, segment, slot;
};

constexpr float LOG2E = 1.4426950408889634f;
constexpr float LN2 = 0.6931471805599453f;

// ---- maths ------------------------------------------------------------------------------------------------------

// 2^x, 2 ulp.
__device__ __forceinline__ float ex2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
__device__ __forceinline__ float lg2(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
__device__ __forceinline__ float rcp(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The route of a type: f32 computes within 1e-6, bf16 within its own rounding.
template <class T> struct Maths;
template <> struct Maths<float> {
    static __device__ __forceinline__ float softplus(float x) { return x > 20.f ? x : log1pf(expf(x)); }
    static __device__ __forceinline__ float silu(float x) { return x / (1.f + expf(-x)); }
};
template <> struct Maths<bf16> {
    // max(x, 0) + ln(1 + e^-|x|), the logarithm as e P(e): 2e-6 of the whole, and one exponential.
    static __device__ __forceinline__ float softplus(float x) {
        const float e = ex2(-fabsf(x) * LOG2E);
        float p = -8.371152915e-03f;
        p = fmaf(p, e, 4.349390045e-02f);
        p = fmaf(p, e, -1.068500280e-01f);
        p = fmaf(p, e, 1.768747717e-01f);
        p = fmaf(p, e, -2.447477430e-01f);
        p = fmaf(p, e, 3.327192962e-01f);
        p = fmaf(p, e, -4.999717474e-01f);
        p = fmaf(p, e, 9.999997616e-01f);
        return fmaf(e, p, fmaxf(x, 0.f));
    }
    static __device__ __forceinline__ float silu(float x) { return x * rcp(1.f + ex2(-x * LOG2E)); }
};

__device__ __forceinline__ float lo(uint32_t v) { return __uint_as_float(v << 16); }
__device__ __forceinline__ float hi(uint32_t v) { return __uint_as_float(v & 0xffff0000u); }
__device__ __forceinline__ uint32_t pack(float a, float b) {
    __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
    return *reinterpret_cast<uint32_t*>(&v);
}
__device__ __forceinline__ float f32(float x) { return x; }
__device__ __forceinline__ float f32(bf16 x) { return __bfloat162float(x); }
template <class T> __device__ __forceinline__ T from(float x);
template <> __device__ __forceinline__ float from<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 from<bf16>(float x) { return __float2bfloat16(x); }

// Eight neighbours at once, 16 or 32 bytes.
__device__ __forceinline__ void load8(const bf16* p, float (&v)[8]) {
    uint4 w = *reinterpret_cast<const uint4*>(p);
    v[0] = lo(w.x), v[1] = hi(w.x), v[2] = lo(w.y), v[3] = hi(w.y);
    v[4] = lo(w.z), v[5] = hi(w.z), v[6] = lo(w.w), v[7] = hi(w.w);
}
__device__ __forceinline__ void load8(const float* p, float (&v)[8]) {
    *reinterpret_cast<float4*>(&v[0]) = *reinterpret_cast<const float4*>(p);
    *reinterpret_cast<float4*>(&v[4]) = *reinterpret_cast<const float4*>(p + 4);
}
__device__ __forceinline__ void store8(bf16* p, const float (&v)[8]) {
    *reinterpret_cast<uint4*>(p) = make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
}
__device__ __forceinline__ void store8(float* p, const float (&v)[8]) {
    *reinterpret_cast<float4*>(p) = *reinterpret_cast<const float4*>(&v[0]);
    *reinterpret_cast<float4*>(p + 4) = *reinterpret_cast<const float4*>(&v[4]);
}

// D += A B, one 16 x 8 tile, 16 deep, in the order of the hardware: wgmma gives the same bits.
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// ---- Hopper -----------------------------------------------------------------------------------------------------

__device__ __forceinline__ uint32_t shared(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// The first 1,024-byte boundary of a block's dynamic shared memory.
__device__ __forceinline__ unsigned char* aligned(unsigned char* memory) { return memory + ((1024 - (shared(memory) & 1023)) & 1023); }

// A barrier of a block, by its address in shared memory: worked out once, since each time costs more than the barrier.
struct Barrier {
    uint32_t address;
    __device__ __forceinline__ explicit Barrier(uint32_t address) : address(address) {}
    __device__ __forceinline__ void init(uint32_t count) const {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address), "r"(count) : "memory");
    }
    __device__ __forceinline__ void expect(uint32_t bytes) const {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address), "r"(bytes) : "memory");
    }
    __device__ __forceinline__ void arrive() const {
        asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address) : "memory");
    }
    __device__ __forceinline__ bool done(uint32_t parity) const {
        uint32_t ok;
        asm volatile(
            "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
            : "=r"(ok)
            : "r"(address), "r"(parity)
            : "memory");
        return ok;
    }
    __device__ __forceinline__ void wait(uint32_t parity) const {
        while (!done(parity)) {
        }
    }
};
// After the barriers of a block are made, before anyone uses them.
__device__ __forceinline__ void barriers_made() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
}
// A box of a two-dimensional array to shared memory: x is the column, y the row.
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap* map, int x, int y, Barrier barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
        "l"(map), "r"(barrier.address), "r"(x), "r"(y)
        : "memory");
}
// Where 16-byte chunk `chunk` of a 128-byte row lies in a box copied with the 128-byte swizzle.
__device__ __forceinline__ int swizzled(int row, int chunk) { return row * 128 + ((chunk ^ (row & 7)) << 4); }
