//! Products of matrices that change at every call, for training; f32 or f64, any strides.
//!
//! The work is the `gemm` crate's; here it is cut into blocks of the output that depend on the shape alone, so that the
//! bits do not depend on the number of threads (they do depend on the machine's instruction set).

use gemm::{Parallelism, gemm};

use super::Team;

/// Rows or columns of the output in one task.
const BLOCK: usize = 128;
/// Multiply-adds below which one thread is faster than two.
const WORTH: usize = 1 << 17;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Numbers that products are made of.
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// A matrix that lies in a slice: element (i, j) at `i * row + j * column`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    values: &'a [T],
    shape: [usize; 2],
    row: usize,
    column: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// `[rows, columns]`, rows `stride` values apart.
    ///
    /// # Panics
    /// When a row would lie outside the slice.
    #[must_use]
    pub fn new(values: &'a [T], [rows, columns]: [usize; 2], stride: usize) -> Self {
        assert!(fits(values.len(), [rows, columns], stride), "{rows} rows of {columns} in {} values", values.len());
        Self { values, shape: [rows, columns], row: stride, column: 1 }
    }

    /// The transposed matrix, in the same slice.
    #[must_use]
    pub fn t(self) -> Self {
        Self { values: self.values, shape: [self.shape[1], self.shape[0]], row: self.column, column: self.row }
    }
}

/// Where a product goes.
#[derive(Debug)]
pub struct Target<'a, T> {
    /// Row-major, `stride` values from one row to the next.
    pub values: &'a mut [T],
    /// Values from one row to the next.
    pub stride: usize,
    /// Add to what is there.
    pub accumulate: bool,
}

/// `out = a b`, or `out += a b`.
///
/// # Panics
/// When the shapes do not go together, or a row would lie outside `out`.
pub fn product<T: Element>(team: &Team, a: Matrix<'_, T>, b: Matrix<'_, T>, out: Target<'_, T>) {
    let ([m, k], [k_b, n]) = (a.shape, b.shape);
    assert_eq!(k, k_b, "the inner widths of a product");
    assert!(fits(out.values.len(), [m, n], out.stride), "{m} rows of {n} in {} values", out.values.len());
    let by_row = m >= n;
    let (longer, step) = if by_row { (m, out.stride) } else { (n, 1) };
    let target = Pointer(out.values.as_mut_ptr());
    team.run(longer.div_ceil(BLOCK), m * n * k >= WORTH, |task| {
        let first = task * BLOCK;
        let len = BLOCK.min(longer - first);
        let (m, n) = if by_row { (len, n) } else { (m, len) };
        let (from_a, from_b) = if by_row { (first * a.row, 0) } else { (0, first * b.column) };
        // SAFETY: both constructors and the check above made sure that all of the three matrices lie in their slices; the
        // block is a part of them, and no other task writes its outputs.
        unsafe {
            gemm(
                m,
                n,
                k,
                target.get().add(first * step),
                1,
                out.stride as isize,
                out.accumulate,
                a.values.as_ptr().add(from_a),
                a.column as isize,
                a.row as isize,
                b.values.as_ptr().add(from_b),
                b.column as isize,
                b.row as isize,
                T::ONE,
                T::ONE,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    });
}

fn fits(len: usize, [rows, columns]: [usize; 2], stride: usize) -> bool {
    let last = rows.checked_sub(1).map_or(Some(0), |last| last.checked_mul(stride)?.checked_add(columns));
    (rows <= 1 || stride >= columns) && last.is_some_and(|last| last <= len)
}

/// The output, of which tasks write disjoint blocks.
struct Pointer<T>(*mut T);

// SAFETY: see the only use, in `product`.
unsafe impl<T> Sync for Pointer<T> {}

impl<T> Pointer<T> {
    /// The pointer (by method, so that closures capture the wrapper).
    fn get(&self) -> *mut T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against three plain loops, over shapes around the block's edges, transposed or not, in wider rows.
    #[test]
    fn products_are_those_of_plain_loops() {
        let team = Team::new(2).unwrap();
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [0, 4, 3], [3, 0, 3], [129, 7, 128], [5, 130, 257], [128, 64, 200]] {
            for transposed in [false, true] {
                let number = |i: usize| ((i * 37 + 11) % 101) as f64 / 50.0 - 1.0;
                let a: Vec<f64> = (0..m * (k + 3)).map(number).collect();
                let b: Vec<f64> = (0..if transposed { n * (k + 1) } else { k * (n + 1) }).map(number).collect();
                let at = |i: usize, j: usize| if transposed { b[j * (k + 1) + i] } else { b[i * (n + 1) + j] };
                let b_view = match transposed {
                    true => Matrix::new(&b, [n, k], k + 1).t(),
                    false => Matrix::new(&b, [k, n], n + 1),
                };
                let mut y = vec![1.0; m * (n + 2)];
                for round in 1..3 {
                    let out = Target { values: &mut y, stride: n + 2, accumulate: round == 2 };
                    product(&team, Matrix::new(&a, [m, k], k + 3), b_view, out);
                    for (i, y) in y.chunks_exact(n + 2).enumerate() {
                        for (j, y) in y[..n].iter().enumerate() {
                            let sum: f64 = (0..k).map(|l| a[i * (k + 3) + l] * at(l, j)).sum();
                            let expected = f64::from(round) * sum;
                            assert!((y - expected).abs() < 1e-12, "[{m}, {k}, {n}] {transposed}: {y} for {expected}");
                        }
                        assert_eq!(y[n..], [1.0; 2], "beside the product");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "4 rows of 3 in 11 values")]
    fn a_matrix_outside_its_slice_is_refused() {
        let _ = Matrix::new(&[0.0f32; 11], [4, 3], 3);
    }
}
