//! The image's documents: configuration and manifest.

use std::collections::BTreeMap;

use super::definition::Definition;
use super::{EPOCH, Error, PACKAGES_ANNOTATION, RECIPE_ANNOTATION, Recipe, shipped};
use crate::builder_image::labels;
use crate::digest::{DiffId, Digest};
use crate::image::edit::{self, Changes, NewLayer};
use crate::image::{Image, Platform, rfc3339};
use crate::python::target::Facts;

/// The image of a recipe with these layers. `packages` names what is in them, `facts` what Python they make.
pub(super) fn assemble(
    recipe: &Recipe,
    platform: &Platform,
    layers: &[NewLayer],
    facts: Option<&Facts>,
    packages: &Digest,
) -> Result<Image, Error> {
    let definition = &recipe.definition;
    let image = &definition.image;
    let venv = &definition.venv.path.text;
    let version = definition.venv.python_version();
    let scripts = shipped::SCRIPTS_DIRECTORY;
    // What the S2I scripts and the convention rely on; a recipe may say otherwise.
    let mut environment = BTreeMap::from(
        [
            ("APP_ROOT", venv.as_str()),
            ("HOME", &working_directory(definition)),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            (
                "PATH",
                &format!("{venv}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ),
            // The builder has the newest pip that its Debian release will ever have.
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PYTHONIOENCODING", "UTF-8"),
            ("PYTHONUNBUFFERED", "1"),
            ("PYTHON_VERSION", version),
            (labels::SCRIPTS_PATH_VARIABLE, scripts),
            ("VIRTUAL_ENV", venv),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    environment.extend(image.env.clone());
    let scripts_url = (labels::SCRIPTS_URL.to_owned(), format!("image://{scripts}"));
    let mut all_labels = BTreeMap::from([scripts_url]);
    // What others' scripts do, only they know: such a builder has to execute them.
    if recipe.scripts.is_empty() {
        all_labels.insert(
            labels::STOCK_SCRIPTS.to_owned(),
            super::stock_scripts_digest(),
        );
    }
    if let Some(facts) = facts {
        let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        all_labels.extend(facts.labels(&diff_ids));
    }
    all_labels.extend(image.labels.clone());
    let changes = Changes {
        environment: environment.into_iter().collect(),
        labels: all_labels,
        command: Some(image.cmd.clone()),
        entrypoint: None,
        user: Some(image.user.clone()),
        working_directory: Some(working_directory(definition)),
        exposed_ports: image.ports.clone(),
        created: rfc3339(EPOCH),
        author: "overcoat".to_owned(),
        annotations: BTreeMap::from([
            (RECIPE_ANNOTATION.to_owned(), recipe.digest.to_string()),
            (PACKAGES_ANNOTATION.to_owned(), packages.to_string()),
        ]),
    };
    Ok(edit::from_scratch(platform, layers, &changes)?)
}

/// Where applications are: the recipe's `workdir`, or `src` in the virtual environment.
pub(super) fn working_directory(definition: &Definition) -> String {
    let given = definition.image.workdir.clone();
    given.unwrap_or_else(|| format!("{}/src", definition.venv.path.text))
}
