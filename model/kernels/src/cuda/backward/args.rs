//! What kernels are called with, field by field as in the headers `backward_*.cuh`. Pointers are addresses on the card.

use cudarc::driver::{DeviceRepr, LaunchArgs, PushKernelArg};

/// An address on the card; 0 is none.
pub(super) type Address = u64;

/// One argument of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    Int(i32),
    Address(Address),
    Batch(Batch),
    ScanRows(ScanRows),
    ScanBack(ScanBack),
    Conv(Conv),
    Norm(Norm),
    Product(Product),
    Quantiles(Quantiles),
    CrossEntropy(CrossEntropy),
    Adam(Adam),
}

impl Argument {
    pub fn push<'a>(&'a self, call: &mut LaunchArgs<'a>) {
        match self {
            Self::Int(value) => call.arg(value),
            Self::Address(value) => call.arg(value),
            Self::Batch(value) => call.arg(value),
            Self::ScanRows(value) => call.arg(value),
            Self::ScanBack(value) => call.arg(value),
            Self::Conv(value) => call.arg(value),
            Self::Norm(value) => call.arg(value),
            Self::Product(value) => call.arg(value),
            Self::Quantiles(value) => call.arg(value),
            Self::CrossEntropy(value) => call.arg(value),
            Self::Adam(value) => call.arg(value),
        };
    }
}

impl From<usize> for Argument {
    /// A size that was checked to be small.
    fn from(size: usize) -> Self {
        Self::Int(i32::try_from(size).unwrap_or(i32::MAX))
    }
}

impl From<Address> for Argument {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

/// Marks types that a kernel takes by value, and checks the size that the header has.
macro_rules! argument {
    ($name:ident, $bytes:literal) => {
        // SAFETY: plain numbers in C's layout, with the header's fields.
        unsafe impl DeviceRepr for $name {}
        const _: () = assert!(size_of::<$name>() == $bytes);

        impl From<$name> for Argument {
            fn from(value: $name) -> Self {
                Self::$name(value)
            }
        }
    };
}

/// The batch: see `backward_scan.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub offsets: Address,
    pub kept_offsets: Address,
    pub parts: Address,
    pub joints: Address,
}
argument!(Batch, 32);

/// What both passes of the scan read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanRows {
    pub dt: Address,
    pub u: Address,
    pub xz: Address,
    pub dtbc: Address,
    pub a: Address,
    pub d: Address,
    pub kept: Address,
    pub joined: Address,
    pub dt_sums: Address,
    pub ip: i32,
    pub width: i32,
}
argument!(ScanRows, 80);

/// What the scan's backward pass reads beside that, and what it writes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanBack {
    pub dg: Address,
    pub y: Address,
    pub du: Address,
    pub ddt: Address,
    pub dxz: Address,
    pub dbc: Address,
    pub joined: Address,
    pub sums: Address,
    pub tokens: i32,
}
argument!(ScanBack, 72);

/// A convolution.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub x: Address,
    pub taps: Address,
    pub begins: Address,
    pub ends: Address,
    pub tokens: i32,
    pub ip: i32,
}
argument!(Conv, 40);

/// A norm.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    pub x: Address,
    pub weight: Address,
    pub tokens: i32,
    pub dp: i32,
    pub d: i32,
    pub eps: f32,
}
argument!(Norm, 32);

/// A product of matrices.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Product {
    pub a: Address,
    pub b: Address,
    pub c: Address,
    pub add: Address,
    pub bias: Address,
    pub m: i32,
    pub n: i32,
    pub k: i32,
    pub lda: i32,
    pub ldb: i32,
    pub ldc: i32,
    pub k_part: i32,
    pub softplus: i32,
}
argument!(Product, 72);

/// The loss of a head's quantiles: see `backward_series.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantiles {
    pub outputs: Address,
    pub levels: Address,
    pub values: Address,
    pub marks: Address,
    pub firsts: Address,
    pub anchors: Address,
    pub steps: Address,
    pub weights: Address,
    pub losses: Address,
    pub tokens: i32,
    pub reach: i32,
    pub count: i32,
    pub stride: i32,
    pub within: i32,
}
argument!(Quantiles, 96);

/// The loss of tokens: see `backward_tokens.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct CrossEntropy {
    pub outputs: Address,
    pub targets: Address,
    pub weights: Address,
    pub losses: Address,
    pub tokens: i32,
    pub width: i32,
    pub first: i32,
    pub count: i32,
}
argument!(CrossEntropy, 48);

/// A step of AdamW: see `backward_adam.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Adam {
    pub weights: Address,
    pub m: Address,
    pub v: Address,
    pub average: Address,
    pub gradients: Address,
    pub decays: Address,
    pub report: Address,
    pub count: i32,
    pub rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    pub decay: f32,
    pub correction1: f32,
    pub correction2: f32,
    pub clip: f32,
    pub keep: f32,
}
argument!(Adam, 96);
