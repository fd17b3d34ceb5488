//! overcoat turns a Python application and a builder image into an OCI image.
pub mod build;
pub mod builder_image;
pub mod cli;
pub mod debian;
pub mod digest;
pub mod event;
pub mod fs;
pub mod http;
pub mod image;
pub mod layer;
pub mod output;
pub mod reference;
pub mod registry;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod ui;
