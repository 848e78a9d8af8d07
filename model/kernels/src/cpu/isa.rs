//! Which instructions the kernels use: chosen when the program runs.

use std::{fmt, str::FromStr, sync::OnceLock};

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// x86-64 with AVX-512F.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// Any machine: fused multiply-adds through the standard library.
    Portable,
}

/// Not the name of an instruction set, or of one that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIsa(String);

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let have: Vec<String> = Isa::available().iter().map(ToString::to_string).collect();
        write!(f, "UNSPOOL_ISA={}: this machine has {}", self.0, have.join(", "))
    }
}

impl std::error::Error for UnknownIsa {}

impl Isa {
    /// The sets that this machine has, best first.
    #[must_use]
    pub fn available() -> &'static [Isa] {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return &[Isa::Avx512, Isa::Avx2, Isa::Portable];
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return &[Isa::Avx2, Isa::Portable];
            }
        }
        &[Isa::Portable]
    }

    /// The best set of this machine, or the one that the environment variable `UNSPOOL_ISA` names.
    ///
    /// # Errors
    /// When the variable names no set, or one that this machine lacks.
    pub fn detect() -> Result<Isa, UnknownIsa> {
        static FORCED: OnceLock<Option<String>> = OnceLock::new();
        match FORCED.get_or_init(|| std::env::var("UNSPOOL_ISA").ok()) {
            None => Ok(Isa::available()[0]),
            Some(name) => name.parse(),
        }
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Self, UnknownIsa> {
        let found = Isa::available().iter().find(|isa| isa.to_string() == name);
        found.copied().ok_or_else(|| UnknownIsa(name.into()))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_named() {
        for isa in Isa::available() {
            assert_eq!(isa.to_string().parse(), Ok(*isa));
        }
        let error = "sse9".parse::<Isa>().unwrap_err().to_string();
        assert!(error.starts_with("UNSPOOL_ISA=sse9: this machine has ") && error.ends_with("portable"), "{error}");
    }
}
