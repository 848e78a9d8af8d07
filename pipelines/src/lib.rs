//! Where Arrow meets tensors.
