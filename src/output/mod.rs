//! Where images go, and the files they come from: layouts and archives, each format's two directions side by side, and
//! the container engines of this machine.

pub mod archive;
mod destination;
mod error;
pub mod load;
mod names;
pub mod oci_layout;
#[cfg(test)]
mod samples;

pub use destination::{Destination, ParseError};
pub use error::Error;
