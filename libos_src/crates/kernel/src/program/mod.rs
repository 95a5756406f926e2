//! From a file to a program that can run.

mod image;
mod loader;
mod stack;

#[cfg(test)]
pub(crate) use image::{BadImage, Image, Source};
pub(crate) use loader::{Executable, load};
pub(crate) use stack::{StackPlan, push_stack};
