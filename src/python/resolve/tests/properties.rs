//! Random small universes, against a search through all there is.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::universe::*;
use crate::python::resolve::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A dependency: which package, how it is limited, whether with its extra, whether only with our extra.
type Dependency = (usize, usize, bool, bool);

/// The dependencies of the versions of each package.
type World = Vec<Vec<Vec<Dependency>>>;

const LIMITS: [&str; 7] = ["", "==1", "==2", ">=2", "<2", "!=2", ">=3"];

fn world() -> impl Strategy<Value = (World, Vec<Dependency>)> {
    let dependency = (0..5usize, 0..LIMITS.len(), any::<bool>(), any::<bool>());
    let version = prop::collection::vec(dependency.clone(), 0..3);
    let package = prop::collection::vec(version, 0..4);
    let roots = prop::collection::vec(dependency, 1..4);
    (prop::collection::vec(package, 5), roots)
}

fn text((to, limit, extra, _): &Dependency) -> String {
    let extra = if *extra { "[x]" } else { "" };
    format!("{}{extra}{}", NAMES[*to], LIMITS[*limit])
}

fn written(world: &World) -> String {
    let mut text_of_all = String::new();
    for (package, versions) in world.iter().enumerate() {
        for (number, dependencies) in versions.iter().enumerate() {
            let marked = |dependency: &Dependency| {
                let marker = if dependency.3 { " ; extra == 'x'" } else { "" };
                format!("{}{marker}", text(dependency))
            };
            let wants: Vec<String> = dependencies.iter().map(marked).collect();
            let wants = wants.join(" | ");
            text_of_all.push_str(&format!("{} {}: {wants}\n", NAMES[package], number + 1));
        }
    }
    text_of_all
}

fn allows(limit: usize, version: usize) -> bool {
    match LIMITS[limit] {
        "==1" => version == 1,
        "==2" => version == 2,
        ">=2" => version >= 2,
        "<2" => version < 2,
        "!=2" => version != 2,
        ">=3" => version >= 3,
        _ => true,
    }
}

/// Whether a choice of versions (0: not installed) satisfies everything that is reached, and nothing but what is
/// reached is chosen.
fn is_solution(world: &World, roots: &[Dependency], choice: &[usize]) -> bool {
    let mut reached = [false; 5];
    let mut with_extra = [false; 5];
    let mut todo: Vec<Dependency> = roots.to_vec();
    while let Some((to, limit, extra, _)) = todo.pop() {
        let version = choice[to];
        if version == 0 || !allows(limit, version) {
            return false;
        }
        let dependencies = &world[to][version - 1];
        if !reached[to] {
            reached[to] = true;
            todo.extend(dependencies.iter().filter(|dependency| !dependency.3));
        }
        if extra && !with_extra[to] {
            with_extra[to] = true;
            todo.extend(dependencies.iter().filter(|dependency| dependency.3));
        }
    }
    (0..5).all(|package| reached[package] == (choice[package] > 0))
}

/// Every choice of versions there is.
fn choices(world: &World) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for versions in world {
        let longer = |choice: &Vec<usize>| {
            let choice = choice.clone();
            (0..=versions.len()).map(move |version| {
                let mut choice = choice.clone();
                choice.push(version);
                choice
            })
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

fn choice_of(solution: &Solution) -> Vec<usize> {
    let mut choice = vec![0; 5];
    for pinned in &solution.resolution.packages {
        let package = NAMES.iter().position(|name| pinned.name.as_ref() == *name);
        choice[package.unwrap()] = pinned.version.to_string().parse().unwrap();
    }
    choice
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_is_an_answer_exactly_when_there_is_one((world, roots) in world()) {
        let universe = Universe::new(&written(&world));
        let texts: Vec<String> = roots.iter().map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ask = Ask::new(&texts);
        let exists = choices(&world).iter().any(|choice| is_solution(&world, &roots, choice));
        match ask.of(&universe) {
            Ok(solution) => {
                prop_assert!(is_solution(&world, &roots, &choice_of(&solution)));
                prop_assert_eq!(&ask.of(&universe).unwrap(), &solution);
                // An answer that is preferred is found again, with its wheels and with its versions alone.
                let packages = || solution.resolution.packages.iter();
                for with_wheel in [true, false] {
                    let mut again = Ask::new(&texts);
                    again.preferences = packages()
                        .map(|pinned| {
                            let mut preference = Preference::from(pinned);
                            preference.wheel = preference.wheel.filter(|_| with_wheel);
                            (pinned.name.clone(), preference)
                        })
                        .collect::<BTreeMap<_, _>>();
                    prop_assert_eq!(&again.of(&universe).unwrap(), &solution);
                }
            }
            Err(error) => {
                prop_assert!(!exists, "{}\n{}", written(&world), error);
                prop_assert!(!error.is_for_pip());
                let text = error.to_string();
                prop_assert!(text.contains("requirements.txt:") || text.contains(" wants "), "{}", text);
            }
        }
    }

    #[test]
    fn any_solution_that_is_preferred_is_kept((world, roots) in world()) {
        let universe = Universe::new(&written(&world));
        let texts: Vec<String> = roots.iter().map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let solutions = choices(&world).into_iter().filter(|choice| is_solution(&world, &roots, choice));
        for choice in solutions.take(5) {
            let pins: Vec<String> = (0..5)
                .filter(|package| choice[*package] > 0)
                .map(|package| format!("{}=={}", NAMES[package], choice[package]))
                .collect();
            let pins: Vec<&str> = pins.iter().map(String::as_str).collect();
            let ask = Ask::new(&texts).preferring(&pins);
            prop_assert_eq!(ask.answer(&universe), pins.join(" "));
        }
    }
}
