use super::*;

#[track_caller]
fn holds(specifiers: &str, inside: &[&str], outside: &[&str]) {
    let set = set_of(&specifiers.parse().unwrap());
    for text in inside {
        assert!(
            set.contains(&text.parse().unwrap()),
            "{text} in {specifiers}"
        );
    }
    for text in outside {
        assert!(
            !set.contains(&text.parse().unwrap()),
            "{text} in {specifiers}"
        );
    }
}

/// Beside each, what `packaging.specifiers.SpecifierSet(…).contains(…, prereleases=True)` says.
#[test]
fn specifiers_hold_what_packaging_says() {
    holds(
        "==1.0",
        &["1", "1.0.0", "1.0+cpu"],
        &["1.0.post1", "1.0a1", "1.0.1", "1.0.dev1"],
    );
    holds("==1.0+cpu", &["1.0+cpu"], &["1.0", "1.0+gpu"]);
    holds("===1.0", &["1.0"], &["1.0+cpu"]);
    holds("!=1.0", &["1.1", "1.0.post1", "0.9"], &["1.0", "1.0+cpu"]);
    holds(
        "==1.*",
        &["1.0", "1.9.post3", "1.0a1", "1.dev0", "1.5+cpu"],
        &["2.0", "2.dev0", "0.9"],
    );
    holds("!=1.*", &["2.0", "0.9"], &["1.0", "1.5"]);
    holds("==1!2.*", &["1!2.5"], &["2.5", "1!3"]);
    holds(
        "~=2.2",
        &["2.2", "2.9", "2.2.post3"],
        &["3.0", "2.1", "3.dev0", "3.0a1"],
    );
    holds("~=1.4.5", &["1.4.5", "1.4.9"], &["1.5", "1.4.4"]);
    holds(">=1.0", &["1.0", "1.0+cpu", "2"], &["1.0rc1", "0.9"]);
    holds(
        "<=1.0",
        &["1.0", "1.0+cpu", "1.0rc1"],
        &["1.0.post1", "1.1"],
    );
    holds(">1.0", &["1.1", "1.0.1"], &["1.0", "1.0+cpu", "1.0.post1"]);
    holds(
        ">1.0.post1",
        &["1.0.post2", "1.1"],
        &["1.0.post1", "1.0.post1+cpu"],
    );
    holds("<1.0", &["0.9", "0.9.post1"], &["1.0", "1.0a1", "1.0.dev1"]);
    holds("<1.0rc1", &["1.0a1", "1.0b2"], &["1.0rc1", "1.0"]);
    holds("<1.0.post1", &["1.0", "0.9"], &["1.0.post1", "1.1"]);
    holds(">=1,<2,!=1.5", &["1.0", "1.4"], &["1.5", "2.0"]);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let most = u64::MAX;
    for operator in ["==", "~=", "<=", ">=", "!=", "<"] {
        let text = format!("{operator}1.{most}");
        let _ = set_of(&text.parse().unwrap());
    }
    holds(&format!("==1.{most}.*"), &[&format!("1.{most}")], &["1.0"]);
    holds(&format!("~={most}.0"), &[&format!("{most}.5")], &["1.0"]);
    holds(
        &format!("==1.post{most}"),
        &[&format!("1.post{most}")],
        &["1.0"],
    );
}

#[test]
fn what_a_specifier_permits() {
    let specifiers = |text: &str| text.parse::<VersionSpecifiers>().unwrap();
    for text in [">=1.0a1", "==1.0.dev1", "<=2.0rc1", "~=1.0b1", ">0,>=1.0a1"] {
        assert!(mentions_prerelease(&specifiers(text)), "{text}");
    }
    for text in ["<1.0a1", "!=1.0a1", ">1.0a1", ">=1.0.post1", "==1.*"] {
        assert!(!mentions_prerelease(&specifiers(text)), "{text}");
    }
    assert!(is_pin(&specifiers(">1,==1.5")));
    assert!(!is_pin(&specifiers("==1.*")) && is_equal(&specifiers("==1.*")));
}
