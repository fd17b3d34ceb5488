//! GitLab's dotenv report: `KEY=value` lines and nothing else.

use super::{Error, Facts};

/// How many bytes GitLab takes.
const MAX_BYTES: usize = 5 << 10;
/// What our variables begin with.
const PREFIX: &str = "OVERCOAT";

/// The variables of the last image, and of several images one more for each. References and digests have no character
/// that would have to be quoted.
pub(super) fn dotenv(images: &[Facts]) -> Result<String, Error> {
    let Some(last) = images.last() else {
        return Ok(String::new());
    };
    let mut text = format!(
        "{PREFIX}_IMAGE={}\n{PREFIX}_NAME={}\n{PREFIX}_TAG={}\n{PREFIX}_DIGEST={}\n",
        last.pinned(),
        last.reference().name(),
        last.tag(),
        last.digest
    );
    if images.len() > 1 {
        let mut known: Vec<(String, &str)> = Vec::new();
        for image in images {
            let variable = format!("{PREFIX}_{}_IMAGE", shouted(&image.name));
            if let Some((_, other)) = known.iter().find(|(known, _)| *known == variable) {
                let names = [(*other).to_owned(), image.name.clone()];
                return Err(Error::SameVariable { names, variable });
            }
            text.push_str(&format!("{variable}={}\n", image.pinned()));
            known.push((variable, &image.name));
        }
    }
    match text.len() > MAX_BYTES {
        true => Err(Error::TooLarge {
            bytes: text.len(),
            limit: MAX_BYTES,
        }),
        false => Ok(text),
    }
}

/// A name as names of variables are written.
fn shouted(name: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_uppercase(),
        false => '_',
    };
    name.chars().map(letter).collect()
}
