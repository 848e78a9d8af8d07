//! The kernels inside this program.

/// Each `.cu` file's name and its fat binary, written by the build.
pub(super) const MODULES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// The names of all modules: of the files `src/cuda/*.cu`, without the ending.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_a_fat_binary() {
        for (name, bytes) in MODULES {
            assert_eq!(bytes.get(..4), Some(&0xba55_ed50_u32.to_le_bytes()[..]), "{name}");
        }
    }
}
