//! How often the network is waited for.

use super::universe::*;

/// Four levels of eight packages each: every package wants all of the next level.
fn wide() -> Universe {
    let mut text = String::new();
    for level in 0..4 {
        for package in 0..8 {
            let wants: Vec<String> = (0..8).map(|to| format!("p{}x{to}", level + 1)).collect();
            let wants = if level == 3 {
                String::new()
            } else {
                wants.join(" | ")
            };
            text.push_str(&format!("p{level}x{package} 1: {wants}\n"));
            text.push_str(&format!("p{level}x{package} 0.1: {wants}\n"));
        }
    }
    Universe::new(&text)
}

#[test]
fn a_level_costs_two_waits() {
    let universe = wide();
    let roots: Vec<String> = (0..8).map(|package| format!("p0x{package}>0.5")).collect();
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let solution = Ask::new(&roots).of(&universe).unwrap();
    assert_eq!(solution.resolution.packages.len(), 32);
    assert_eq!(universe.count("page"), 32);
    // Each once by the resolver and once by the check of the test.
    assert_eq!(universe.count("metadata"), 64);
    assert_eq!(*universe.waits.borrow(), 8);
}

#[test]
fn a_previous_answer_with_wheels_asks_for_no_page() {
    use crate::python::resolve::Preference;
    let universe = wide();
    let solution = Ask::new(&["p0x0"]).of(&universe).unwrap();
    let mut again = Ask::new(&["p0x0"]);
    let packages = solution.resolution.packages.iter();
    again.preferences = packages
        .map(|pinned| (pinned.name.clone(), Preference::from(pinned)))
        .collect();
    universe.asked.borrow_mut().clear();
    assert_eq!(again.of(&universe).unwrap(), solution);
    assert_eq!(universe.count("page"), 0);
}
