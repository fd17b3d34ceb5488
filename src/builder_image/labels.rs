//! Every label and variable name that makes an image a builder image, in one place.

/// Where the builder's S2I scripts are, as a URL.
pub const SCRIPTS_URL: &str = "io.openshift.s2i.scripts-url";
/// The same, as old builder images spell it.
pub const SCRIPTS_URL_DEPRECATED: &str = "io.s2i.scripts-url";
/// The directory that receives `src`, `scripts` and `artifacts`.
pub const DESTINATION: &str = "io.openshift.s2i.destination";
/// The same, as old builder images spell it.
pub const DESTINATION_DEPRECATED: &str = "io.s2i.destination";
/// The user that runs `assemble`, when it is not the image's.
pub const ASSEMBLE_USER: &str = "io.openshift.s2i.assemble-user";
/// The user that runs `assemble-runtime` in a runtime image, when it is not the image's.
pub const ASSEMBLE_RUNTIME_USER: &str = "io.openshift.s2i.assemble-runtime-user";
/// What a runtime image takes from the builder: `SOURCE[:DIRECTORY]`, separated by `;`.
pub const ASSEMBLE_INPUT_FILES: &str = "io.openshift.s2i.assemble-input-files";
/// The builder image's name, on what was built with it.
pub const BUILD_IMAGE: &str = "io.openshift.s2i.build.image";
/// The environment variable that very old builder images use instead of a label.
pub const SCRIPTS_URL_VARIABLE: &str = "STI_SCRIPTS_URL";
/// The environment variable by which scripts find the stock ones; a path, not a URL.
pub const SCRIPTS_PATH_VARIABLE: &str = "STI_SCRIPTS_PATH";
/// The environment variable that old builder images use for [`DESTINATION`].
pub const DESTINATION_VARIABLE: &str = "STI_LOCATION";
/// The directory that receives the source when nothing else is said.
pub const DEFAULT_DESTINATION: &str = "/tmp";

/// The name of the base image, on the manifest of what was built.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The digest of the base image's manifest.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// The labels by which our own builders say what their Python is (`io.overcoat.python.…`).
pub use crate::python::target::labels as python;

/// On builders made from recipes: the digest of the S2I scripts that overcoat gave them. Whoever has these layers and
/// this label has scripts whose work overcoat can do without executing them.
pub const STOCK_SCRIPTS: &str = "io.overcoat.scripts";
