//! From a file to a program that can run.

mod image;
mod invocation;
mod loader;
mod stack;
mod start;

#[cfg(test)]
pub(crate) use image::{BadImage, Image, Source};
pub(crate) use invocation::{Invocation, RunAs};
use loader::load;
pub(crate) use loader::{Executable, LoadError};
