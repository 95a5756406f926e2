//! From a file to a program that can run.

mod image;
mod invocation;
mod loader;
mod stack;
mod start;

pub use image::{BadImage, Image, Segment, Source};
pub(crate) use invocation::{Invocation, RunAs};
use loader::load;
pub(crate) use loader::{Executable, LoadError};
