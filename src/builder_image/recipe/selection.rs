//! Which packages a recipe stands for today.

use super::definition::Definition;
use super::packages::Unpacked;
use super::{Error, Recipe, Supplies};
use crate::debian::closure::{Essential, Selected};
use crate::debian::distribution::Distribution;
use crate::debian::mirror::Fetcher;
use crate::debian::signature::Keys;
use crate::digest::Digest;
use crate::event::{Observer, stage};
use crate::image::Platform;

/// The platform as the image will have it, and Debian's name of its architecture.
pub(super) fn debian_platform(
    recipe: &Recipe,
    platform: &Platform,
) -> Result<(Platform, &'static str), Error> {
    let (variant, name) = match (platform.architecture.as_str(), platform.variant.as_deref()) {
        ("amd64", None | Some("v1")) => (None, "amd64"),
        ("arm64", None | Some("v8")) => (None, "arm64"),
        ("arm", None | Some("v7")) => (Some("v7"), "armhf"),
        ("386", None) => (None, "i386"),
        ("ppc64le", None) => (None, "ppc64el"),
        ("s390x", None) => (None, "s390x"),
        ("riscv64", None) => (None, "riscv64"),
        _ => (None, ""),
    };
    if platform.os != "linux" || name.is_empty() {
        return Err(Error::Platform {
            recipe: recipe.name.clone(),
            platform: platform.clone(),
        });
    }
    let platform = Platform {
        variant: variant.map(str::to_owned),
        ..platform.clone()
    };
    Ok((platform, name))
}

/// Finds out which packages the image has: the newest there are.
pub(super) fn resolve(
    recipe: &Recipe,
    architecture: &str,
    fetcher: &Fetcher<'_>,
    supplies: &Supplies<'_>,
    observer: &dyn Observer,
) -> Result<Vec<Selected>, Error> {
    let debian = &recipe.definition.debian;
    let resolving = stage(
        observer,
        "resolve packages",
        format!("{} for {architecture}", recipe.name),
    );
    let distribution = Distribution {
        suite: debian.suite.clone(),
        updates: debian.updates.clone(),
        security: debian.security.clone(),
        components: debian.components.clone(),
        architecture: architecture.to_owned(),
    };
    let keyrings: Vec<&[u8]> = recipe.keyrings.iter().map(Vec::as_slice).collect();
    let keys = Keys::parse(&keyrings)?;
    let wanted = &recipe.definition.packages;
    let roots: Vec<&str> = wanted.roots.iter().map(String::as_str).collect();
    let essential = match wanted.essential {
        true => Essential::Include,
        false => Essential::Omit,
    };
    let now = Some(supplies.now);
    let selection = std::thread::scope(|scope| {
        // The index takes some 50 MB, which would stay with this process if they lay among what is needed longer. So
        // they are taken and given back by threads of their own, from whose end nothing is left.
        let read = || distribution.index(fetcher, supplies.mirrors, &keys, now);
        let index = joined(scope.spawn(read))?;
        let selection = index.resolve(&roots, essential, architecture);
        joined(scope.spawn(move || drop(index)));
        selection
    })?;
    let bytes: u64 = selection
        .iter()
        .map(|selected| selected.package.size_bytes)
        .sum();
    resolving.finish(format!(
        "{} packages, {} MB",
        selection.len(),
        bytes.div_ceil(1_000_000)
    ));
    Ok(selection)
}

/// What a thread has found; its panic is ours.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(found) => found,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Names a recipe together with the packages that it resolves to. Two mirrors with the same packages give the same.
pub(super) fn packages_digest(recipe: &Recipe, selection: &[Selected]) -> Digest {
    let line = |Selected { package, is_base }: &Selected| {
        let (name, version) = (package.name(), package.version());
        let share = if *is_base { "base" } else { "rest" };
        format!(
            "{name} {version} {} {} {share}\n",
            package.architecture(),
            package.digest()
        )
    };
    let lines: String = selection.iter().map(line).collect();
    Digest::of(format!("{}\n{lines}", recipe.digest).as_bytes())
}

/// The upstream version of the package that has the interpreter.
pub(super) fn python_version(
    definition: &Definition,
    unpacked: &Unpacked,
    selection: &[Selected],
) -> Result<String, Error> {
    let python = &definition.venv.python;
    let path = unpacked.tree.map(&python.path)?;
    let owner = unpacked.tree.owner(&path);
    let package = selection
        .iter()
        .find(|selected| owner.is_some_and(|owner| **owner == *selected.package.name()));
    let version = package
        .map(|selected| selected.package.version())
        .ok_or_else(|| Error::Missing {
            path: python.text.clone(),
            needed_by: "the virtual environment".to_owned(),
        })?;
    let text = version.as_str();
    let text = text.split_once(':').map_or(text, |(_epoch, rest)| rest);
    Ok(text
        .rsplit_once('-')
        .map_or(text, |(upstream, _revision)| upstream)
        .to_owned())
}
