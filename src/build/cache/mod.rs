//! Which work is done already: keys, what this machine remembers of them, and what the previous image says.

pub mod annotation;
pub mod inputs;
pub mod key;
pub mod record;
pub mod step_inputs;

pub use key::{Inputs, Key};
pub use record::{Record, Records};
