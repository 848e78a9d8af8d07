// What the training kernels share: numbers in rows, their loads and stores, sums over lanes, and the few instructions
// that C++ has no words for. A test may compile these headers as plain C++ and bring its own instructions.
//
// Rows hold S: bf16 or float; arithmetic is f32. Widths are multiples of 8, so that a row is made of whole 8-vectors.
#pragma once
#include <stdint.h>

/// The upper half of an f32.
struct bf16 {
    uint16_t bits;
};

constexpr float LOG2E = 1.4426950408889634f, LN2 = 0.6931471805599453f;

#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

/// 2^x, to 2^-22.
DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// 1 / x, to 2^-23.
DEVICE float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float widen(bf16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }
DEVICE float widen(float x) { return x; }

/// Two bf16, the first in the low half; rounded to nearest even.
DEVICE uint32_t narrow2(float low, float high) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

DEVICE float from_bits(uint32_t bits) { return __uint_as_float(bits); }
DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }

/// 16 bytes from global to shared memory, or zeros.
DEVICE void copy_async(unsigned char* to, const void* from, bool valid) {
    uint32_t address = uint32_t(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(valid ? 16 : 0));
}
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;"); }
template <int LEFT> DEVICE void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT)); }

/// Four 8 x 8 matrices of bf16; `row` is the row of 16 bytes that this lane points at.
template <bool TRANSPOSED> DEVICE void load_matrices(uint32_t (&r)[4], const unsigned char* row) {
    uint32_t address = uint32_t(__cvta_generic_to_shared(row));
    if (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}

/// c += a b, 16 x 8 x 16.
DEVICE void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

DEVICE bf16 narrow(float x, bf16) { return bf16{uint16_t(narrow2(x, 0.f))}; }
DEVICE float narrow(float x, float) { return x; }

/// Eight values as they lie in memory.
template <class S> struct Raw8;
template <> struct Raw8<bf16> {
    uint4 bits;
};
template <> struct Raw8<float> {
    float4 low, high;
};

DEVICE void load_raw(const bf16* from, Raw8<bf16>& to) { to.bits = *reinterpret_cast<const uint4*>(from); }
DEVICE void load_raw(const float* from, Raw8<float>& to) {
    to.low = reinterpret_cast<const float4*>(from)[0];
    to.high = reinterpret_cast<const float4*>(from)[1];
}
DEVICE void clear(Raw8<bf16>& raw) { raw.bits = uint4{0, 0, 0, 0}; }
DEVICE void clear(Raw8<float>& raw) { raw.low = raw.high = float4{0, 0, 0, 0}; }

DEVICE void unpack(const Raw8<bf16>& raw, float (&v)[8]) {
    const uint32_t words[4] = {raw.bits.x, raw.bits.y, raw.bits.z, raw.bits.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = from_bits(words[i] << 16);
        v[2 * i + 1] = from_bits(words[i] & 0xffff0000u);
    }
}
DEVICE void unpack(const Raw8<float>& raw, float (&v)[8]) {
    v[0] = raw.low.x, v[1] = raw.low.y, v[2] = raw.low.z, v[3] = raw.low.w;
    v[4] = raw.high.x, v[5] = raw.high.y, v[6] = raw.high.z, v[7] = raw.high.w;
}

template <class S> DEVICE void load8(const S* from, float (&v)[8]) {
    Raw8<S> raw;
    load_raw(from, raw);
    unpack(raw, v);
}
DEVICE void store8(bf16* to, const float (&v)[8]) {
    *reinterpret_cast<uint4*>(to) =
        uint4{narrow2(v[0], v[1]), narrow2(v[2], v[3]), narrow2(v[4], v[5]), narrow2(v[6], v[7])};
}
DEVICE void store8(float* to, const float (&v)[8]) {
    reinterpret_cast<float4*>(to)[0] = float4{v[0], v[1], v[2], v[3]};
    reinterpret_cast<float4*>(to)[1] = float4{v[4], v[5], v[6], v[7]};
}

DEVICE void load4(const bf16* from, float (&v)[4]) {
    uint2 raw = *reinterpret_cast<const uint2*>(from);
    v[0] = from_bits(raw.x << 16), v[1] = from_bits(raw.x & 0xffff0000u);
    v[2] = from_bits(raw.y << 16), v[3] = from_bits(raw.y & 0xffff0000u);
}
DEVICE void load4(const float* from, float (&v)[4]) {
    float4 raw = *reinterpret_cast<const float4*>(from);
    v[0] = raw.x, v[1] = raw.y, v[2] = raw.z, v[3] = raw.w;
}
DEVICE void store4(bf16* to, const float (&v)[4]) {
    *reinterpret_cast<uint2*>(to) = uint2{narrow2(v[0], v[1]), narrow2(v[2], v[3])};
}
DEVICE void store4(float* to, const float (&v)[4]) {
    *reinterpret_cast<float4*>(to) = float4{v[0], v[1], v[2], v[3]};
}

/// N values of shared memory, N a power of two.
template <int N> DEVICE void load_shared(const float* from, float (&v)[N]) {
    if constexpr (N >= 4) {
#pragma unroll
        for (int i = 0; i < N / 4; i++) {
            float4 four = reinterpret_cast<const float4*>(from)[i];
            v[4 * i] = four.x, v[4 * i + 1] = four.y, v[4 * i + 2] = four.z, v[4 * i + 3] = four.w;
        }
    } else if constexpr (N == 2) {
        float2 two = *reinterpret_cast<const float2*>(from);
        v[0] = two.x, v[1] = two.y;
    } else {
        v[0] = *from;
    }
}

DEVICE float sigmoid(float x) { return reciprocal(1.f + exp2_fast(-LOG2E * x)); }

/// ln(1 + e^x), without overflow and without losing small values.
DEVICE float softplus(float x) { return fmaxf(x, 0.f) + log1pf(exp2_fast(-LOG2E * fabsf(x))); }

/// The derivative of softplus where its value is `y`: 1 - e^-y.
DEVICE float softplus_slope(float y) {
    float series = y * (1.f - y * (1.f / 2) * (1.f - y * (1.f / 3) * (1.f - y * (1.f / 4) * (1.f - y * (1.f / 5)))));
    return y < 0.125f ? series : 1.f - exp2_fast(-LOG2E * y);
}

/// Adds N values over the lanes that differ in the bits from HIGH down to LOW, and shares the sums out: each lane is left
/// with the next N / lanes of them (or all lanes with the one), lanes in order of those bits, high to low.
template <int N, int HIGH, int LOW> DEVICE void add_over_lanes(float* v, int lane) {
    if constexpr (N > 1) {
        const bool upper = lane & HIGH;
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            float send = upper ? v[i] : v[i + N / 2], keep = upper ? v[i + N / 2] : v[i];
            v[i] = keep + shuffle_xor(send, HIGH);
        }
    } else {
        v[0] += shuffle_xor(v[0], HIGH);
    }
    if constexpr (HIGH > LOW) add_over_lanes<(N > 1 ? N / 2 : 1), HIGH / 2, LOW>(v, lane);
}

/// The sum of a value over a warp, in all lanes.
DEVICE float warp_sum(float v) {
#pragma unroll
    for (int mask = 16; mask >= 1; mask >>= 1) v += shuffle_xor(v, mask);
    return v;
}
