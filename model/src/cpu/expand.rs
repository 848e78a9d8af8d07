//! Moving weights to rows in which every part begins at a multiple of 16 values.

use unspool_kernels::cpu::{Linear, padded};

use crate::weights;

/// Parts that lie one after the other, and their padded places.
pub(super) struct Regions {
    /// Length, place as published, place here.
    parts: Vec<(usize, usize, usize)>,
    padded: usize,
}

impl Regions {
    pub(super) fn new(lengths: &[usize]) -> Self {
        let (mut from, mut to, mut parts) = (0, 0, vec![]);
        for &len in lengths {
            parts.push((len, from, to));
            from += len;
            to += padded(len);
        }
        Self { parts, padded: to }
    }

    /// Values in a padded row.
    pub(super) fn padded(&self) -> usize {
        self.padded
    }

    /// Where each published value stands here.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.parts.iter().flat_map(|&(len, _, to)| to..to + len)
    }

    /// Moves rows of `width` values, one a published place; the others are zeros.
    pub(super) fn rows(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let mut moved = vec![0.0; self.padded * width];
        for &(len, from, to) in &self.parts {
            moved[to * width..(to + len) * width].copy_from_slice(&rows[from * width..(from + len) * width]);
        }
        moved
    }

    /// A linear map whose outputs lie in these parts.
    pub(super) fn linear_rows(&self, linear: &weights::Linear) -> Linear {
        let bias = linear.bias.as_ref().map(|bias| self.rows(bias, 1));
        Linear::new(&self.rows(&linear.weight, linear.n_in), linear.n_in, bias.as_deref())
    }

    /// A linear map whose inputs lie in these parts.
    pub(super) fn linear_columns(&self, linear: &weights::Linear) -> Linear {
        let weight: Vec<f32> = linear.weight.chunks_exact(linear.n_in).flat_map(|row| self.rows(row, 1)).collect();
        Linear::new(&weight, self.padded, linear.bias.as_deref())
    }
}
