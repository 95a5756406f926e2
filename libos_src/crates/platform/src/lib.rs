//! The platform trait.
#![forbid(unsafe_code)]
