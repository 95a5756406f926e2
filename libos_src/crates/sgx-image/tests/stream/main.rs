//! SGXS streams: what the reader accepts, what it refuses, and what it makes of them.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod builder;
mod reader;
mod reference;
