//! The binary `unspool`.

fn main() {}
