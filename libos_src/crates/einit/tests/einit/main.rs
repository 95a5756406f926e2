//! EINIT: known answers, and a refusal with the right error for everything that can be wrong.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod known_answers;
mod refusals;
mod signer;
