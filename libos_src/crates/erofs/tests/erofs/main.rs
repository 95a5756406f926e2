//! The reader against images of real tools, broken images, and a host that lies.

mod handmade;
mod hostile;
mod images;
mod support;
mod verified;
