//! overcoat turns a Python application and a builder image into an OCI image.
//!
//! ```text
//!  Source ──read──▶ SourceTree ──────┐
//!                                    ├─▶ BuildPlan ─▶ steps ─▶ Layers ─▶ Image ─▶ Destinations ─▶ Digest
//!  ImageSource ─obtain▶ BuilderImage ┘     pure                written    edited    written
//!                         │                                        │
//!                         └────────── BlobStore (an OCI layout) ◀──┘
//! ```
//!
//! To read it in order: [`digest`], [`mod@reference`], [`event`], [`fs`] and [`http`] are names and small tools. [`image`] has
//! the OCI documents as data, [`layer`] file system changes as tar bytes, [`store`] the bytes kept on this machine.
//! [`registry`], [`source`], [`sandbox`] and [`debian`] are the outside world, each knowing nothing of the others.
//! [`python`] knows what an interpreter needs, [`builder_image`] what makes an image a builder, [`output`] the formats of files, [`dockerfile`] the same build as a Dockerfile.
//! [`build`] is the operation, [`scaffold`] has files to begin with; [`yaml`] reads text with positions, [`project`] has what a
//! project says of itself, [`kubernetes`] edits manifests and talks to clusters, [`release`] is what follows once a digest exists;
//! [`ui`] and [`cli`] are for people.
//!
//! A module names only those before it (`tests/architecture.rs`). Nothing below `cli` and `ui` prints, ends the program, or
//! reads the environment or the clock.

pub mod build;
pub mod builder_image;
pub mod cli;
pub mod debian;
pub mod digest;
pub mod dockerfile;
pub mod event;
pub mod fs;
pub mod http;
pub mod image;
pub mod kubernetes;
pub mod layer;
pub mod output;
pub mod project;
pub mod python;
pub mod reference;
pub mod registry;
pub mod release;
pub mod sandbox;
pub mod sbom;
pub mod scaffold;
#[cfg(test)]
mod skip_tests;
pub mod source;
pub mod store;
pub mod ui;
pub mod yaml;
