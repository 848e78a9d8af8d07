//! Sixteen lanes of f32 on each instruction set, with the same IEEE operations.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Sixteen lanes of f32.
///
/// `max` and `min` give the second operand where either is NaN, as x86 does: constants go first, so that NaN stays.
///
/// # Safety
/// All functions need the instruction set that the implementing type names; `load` and `store` need 16 values at the pointer.
pub(super) trait Simd {
    type V: Copy;
    /// Vectors that one row of a product's tile takes: what fits the registers together with six rows.
    const TILE: usize;
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(at: *const f32) -> Self::V;
    unsafe fn store(at: *mut f32, value: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `p * 2^n` for `t = n + 1.5 * 2^23`, by adding n to p's exponent; right where the result is a normal number.
    unsafe fn scale(p: Self::V, t: Self::V) -> Self::V;
}

/// Without vector instructions.
pub(super) struct Portable;

/// Lane by lane.
macro_rules! each {
    ($f:expr) => {
        std::array::from_fn($f)
    };
}

// SAFETY (of the pointers): as the trait says.
impl Simd for Portable {
    type V = [f32; 16];
    const TILE: usize = 1;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; 16]
    }
    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self::V {
        // SAFETY: the caller gives 16 values.
        unsafe { at.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(at: *mut f32, value: Self::V) {
        // SAFETY: the caller gives room for 16 values.
        unsafe { at.cast::<Self::V>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        each!(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        each!(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        each!(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        each!(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        each!(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        each!(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        each!(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn scale(p: Self::V, t: Self::V) -> Self::V {
        each!(|i| f32::from_bits(p[i].to_bits().wrapping_add(t[i].to_bits() << 23)))
    }
}

/// AVX-512F: one register.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
/// Wraps intrinsics of AVX-512F.
macro_rules! avx512 {
    ($($name:ident($($arg:ident),*) = $intrinsic:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: __m512),*) -> __m512 {
            // SAFETY: the caller has AVX-512F.
            unsafe { $intrinsic($($arg),*) }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
impl Simd for Avx512 {
    type V = __m512;
    const TILE: usize = 4;
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: the caller has AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m512 {
        // SAFETY: the caller has AVX-512F and gives 16 values.
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store(at: *mut f32, value: __m512) {
        // SAFETY: the caller has AVX-512F and gives room for 16 values.
        unsafe { _mm512_storeu_ps(at, value) }
    }
    avx512! {
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        div(a, b) = _mm512_div_ps;
        fma(a, b, c) = _mm512_fmadd_ps;
        max(a, b) = _mm512_max_ps;
        min(a, b) = _mm512_min_ps;
    }
    #[inline(always)]
    unsafe fn scale(p: __m512, t: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512F.
        unsafe {
            let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(t));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n))
        }
    }
}

/// AVX2 and FMA: two registers.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
/// Wraps intrinsics of AVX2 and FMA, on both halves.
macro_rules! avx2 {
    ($($name:ident($($arg:ident),*) = $intrinsic:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: [__m256; 2]),*) -> [__m256; 2] {
            // SAFETY: the caller has AVX2 and FMA.
            unsafe { [$intrinsic($($arg[0]),*), $intrinsic($($arg[1]),*)] }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
impl Simd for Avx2 {
    type V = [__m256; 2];
    const TILE: usize = 1;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        // SAFETY: the caller has AVX2.
        unsafe { [_mm256_set1_ps(value); 2] }
    }
    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self::V {
        // SAFETY: the caller has AVX2 and gives 16 values.
        unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))] }
    }
    #[inline(always)]
    unsafe fn store(at: *mut f32, value: Self::V) {
        // SAFETY: the caller has AVX2 and gives room for 16 values.
        unsafe {
            _mm256_storeu_ps(at, value[0]);
            _mm256_storeu_ps(at.add(8), value[1]);
        }
    }
    avx2! {
        add(a, b) = _mm256_add_ps;
        sub(a, b) = _mm256_sub_ps;
        mul(a, b) = _mm256_mul_ps;
        div(a, b) = _mm256_div_ps;
        fma(a, b, c) = _mm256_fmadd_ps;
        max(a, b) = _mm256_max_ps;
        min(a, b) = _mm256_min_ps;
    }
    #[inline(always)]
    unsafe fn scale(p: Self::V, t: Self::V) -> Self::V {
        // SAFETY: the caller has AVX2.
        unsafe {
            let half = |p: __m256, t: __m256| {
                let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(t));
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n))
            };
            [half(p[0], t[0]), half(p[1], t[1])]
        }
    }
}

/// Calls a generic kernel `body::<S>(args)` compiled for the instruction set.
///
/// The kernel must be `#[inline(always)]`, so that it is compiled with the set's instructions.
macro_rules! on_isa {
    ($isa:expr, $body:ident, $args:expr, $type:ty) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        unsafe fn avx512(args: $type) {
            // SAFETY: passed on to the caller.
            unsafe { $body::<$crate::cpu::simd::Avx512>(args) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2(args: $type) {
            // SAFETY: passed on to the caller.
            unsafe { $body::<$crate::cpu::simd::Avx2>(args) }
        }
        assert!($crate::cpu::Isa::available().contains(&$isa), "this machine lacks {}", $isa);
        // SAFETY: the machine has the instructions; that the arguments fit is checked by the function around.
        unsafe {
            match $isa {
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx512 => avx512($args),
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx2 => avx2($args),
                _ => $body::<$crate::cpu::simd::Portable>($args),
            }
        }
    }};
}
pub(super) use on_isa;
