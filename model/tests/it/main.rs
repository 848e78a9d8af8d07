//! Tests through the public interface.

mod goldens;
