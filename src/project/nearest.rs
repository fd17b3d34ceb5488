//! The name that somebody may have meant.

/// The known name that is nearest to what was written, if any is near: at most a third of its letters differ.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    // Names from outside may be of any length; nobody mistypes a long one into a known one.
    const MOST_CHARACTERS: usize = 64;
    let written = written.to_lowercase().replace('_', "-");
    if written.chars().count() > MOST_CHARACTERS {
        return None;
    }
    let near = |name: &&'a str| {
        let distance = distance(&written, &name.to_lowercase());
        (distance <= (name.chars().count() / 3).max(1)).then_some((distance, *name))
    };
    known.iter().filter_map(near).min().map(|(_, name)| name)
}

/// How many letters have to be put in, taken away or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, its) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != *its);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let known = ["path", "image", "builder", "on-failure"];
        for (written, expected) in [
            ("imgae", None),
            ("imag", Some("image")),
            ("Image", Some("image")),
            ("on_failure", Some("on-failure")),
            ("bulider", Some("builder")),
            ("onfailure", Some("on-failure")),
            ("registry", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, &known), expected, "{written}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), &known), None);
    }
}
