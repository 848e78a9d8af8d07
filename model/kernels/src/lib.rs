//! The vector code of Unspool's encoders.
