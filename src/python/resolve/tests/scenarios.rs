//! Which versions are chosen.

use super::universe::*;
use crate::python::resolve::*;

const WEB: &str = "
    flask 1.0: werkzeug>=1 | jinja2
    flask 2.0: werkzeug>=2 | jinja2>=3
    flask 3.0: werkzeug>=3 | jinja2>=3 | asgiref>=3 ; extra == 'async'
    werkzeug 1.0
    werkzeug 2.0: markupsafe
    werkzeug 3.0: markupsafe>=2
    jinja2 2.0
    jinja2 3.0: markupsafe>=2
    markupsafe 1.0
    markupsafe 2.1
    asgiref 3.5: typing-extensions ; python_version < '3.11'
    asgiref 3.6
    typing-extensions 4.0
    login 0.5: flask>=1
    login 0.6: flask>=2,<3
";

#[test]
fn the_newest_that_satisfies_is_taken() {
    assert_eq!(
        answer(WEB, &["flask"]),
        "flask==3.0 jinja2==3.0 markupsafe==2.1 werkzeug==3.0"
    );
    assert_eq!(
        answer(WEB, &["flask<3", "werkzeug<3"]),
        "flask==2.0 jinja2==3.0 markupsafe==2.1 werkzeug==2.0"
    );
    assert_eq!(answer(WEB, &[]), "");
}

#[test]
fn requirements_of_packages_limit_too() {
    let newest = answer(WEB, &["login", "flask"]);
    assert!(newest.starts_with("flask==2.0"), "{newest}");
    assert!(newest.contains("login==0.6"), "{newest}");
    let pinned = answer(WEB, &["login", "flask==3.0"]);
    assert!(pinned.contains("login==0.5"), "{pinned}");
}

#[test]
fn what_is_named_by_the_application_is_requested() {
    let solution = Ask::new(&["flask", "MarkupSafe"])
        .of(&Universe::new(WEB))
        .unwrap();
    let requested: Vec<&str> = solution
        .resolution
        .packages
        .iter()
        .filter(|pinned| pinned.is_requested)
        .map(|pinned| pinned.name.as_ref())
        .collect();
    assert_eq!(requested, ["flask", "markupsafe"]);
}

#[test]
fn extras_are_of_the_same_version() {
    assert!(answer(WEB, &["flask[async]"]).starts_with("asgiref==3.6 flask==3.0"));
    let solution = Ask::new(&["flask[async]"]).of(&Universe::new(WEB)).unwrap();
    assert_eq!(solution.extras.len(), 1);
    // 2.0 has no such extra: pip warns and goes on.
    assert!(answer(WEB, &["flask[async]<3"]).starts_with("flask==2.0"));
    let universe = "
        a 1: b ; extra == 'x'
        a 2: b>=2 ; extra == 'x' | c ; extra == 'y'
        b 1
        c 1
    ";
    assert_eq!(answer(universe, &["a[x]"]), "a==1 b==1");
    assert_eq!(answer(universe, &["a[y]"]), "a==2 c==1");
    assert_eq!(answer(universe, &["a", "a[x,y]"]), "a==1 b==1");
}

#[test]
fn an_extra_may_be_made_of_other_extras() {
    let universe = "
        a 1: a[x,y] ; extra == 'all' | b ; extra == 'x' | c ; extra == 'y'
        a 2: a[x,y]==2 ; extra == 'all' | a[all] ; extra == 'all' | b ; extra == 'x'
        b 1
        c 1
    ";
    assert_eq!(answer(universe, &["a[all]==1"]), "a==1 b==1 c==1");
    assert_eq!(answer(universe, &["a[all]"]), "a==2 b==1");
}

#[test]
fn a_package_that_wants_another_version_of_itself_is_passed_over() {
    let universe = "
        a 1: a>=1
        a 2: a<2
    ";
    assert_eq!(answer(universe, &["a"]), "a==1");
}

#[test]
fn circles_are_no_problem() {
    let universe = "
        a 1: b==1
        a 2: b==2
        b 1: a==1
        b 2: a==1
    ";
    assert_eq!(answer(universe, &["a"]), "a==1 b==1");
}

#[test]
fn markers_are_of_the_target() {
    let universe = "
        a 1: win ; sys_platform == 'win32' | lin ; sys_platform == 'linux' | old ; python_version < '3.10'
        lin 1
    ";
    assert_eq!(
        answer(universe, &["a", "win ; os_name == 'nt'"]),
        "a==1 lin==1"
    );
}

#[test]
fn an_older_version_is_taken_where_the_newest_does_not_fit() {
    let universe = "
        a 1
        a 2: c>=2
        b 1
        b 2: c<2
        c 1
        c 2
    ";
    // As pip: the first requirement keeps its newest version.
    assert_eq!(answer(universe, &["a", "b"]), "a==2 b==1 c==2");
    assert_eq!(answer(universe, &["b", "a"]), "a==1 b==2 c==1");
}

#[test]
fn constraints_limit_and_do_not_require() {
    let universe = Universe::new(WEB);
    let ask = Ask::new(&["login"]).constrained(&["werkzeug<2", "asgiref==3.5", "flask!=3.0"]);
    assert_eq!(
        ask.answer(&universe),
        "flask==1.0 jinja2==3.0 login==0.5 markupsafe==2.1 werkzeug==1.0"
    );
    let other = Ask::new(&["flask"]).constrained(&["flask<3 ; sys_platform == 'win32'"]);
    assert!(other.answer(&universe).starts_with("flask==3.0"));
}

#[test]
fn the_previous_answer_is_kept_where_it_satisfies() {
    let universe = Universe::new(WEB);
    let before = [
        "flask==2.0",
        "jinja2==3.0",
        "markupsafe==2.1",
        "werkzeug==2.0",
    ];
    let same = Ask::new(&["flask"]).preferring(&before);
    assert_eq!(same.answer(&universe), before.join(" "));
    // One changed pin changes what must change.
    let raised = Ask::new(&["flask==3.0"]).preferring(&before);
    assert_eq!(
        raised.answer(&universe),
        "flask==3.0 jinja2==3.0 markupsafe==2.1 werkzeug==3.0"
    );
    // A version that is gone is no trouble.
    let gone = Ask::new(&["flask<3"]).preferring(&["flask==2.5"]);
    assert!(gone.answer(&universe).starts_with("flask==2.0"));
}

#[test]
fn a_kept_wheel_needs_no_page() {
    let universe = Universe::new(WEB);
    let first = Ask::new(&["flask<3"]).of(&universe).unwrap();
    let packages = first.resolution.packages.iter();
    let mut again = Ask::new(&["flask<3", "login"]);
    again.preferences = packages
        .map(|pinned| (pinned.name.clone(), Preference::from(pinned)))
        .collect();
    universe.asked.borrow_mut().clear();
    assert!(again.answer(&universe).contains("login==0.6"));
    assert_eq!(universe.count("page"), 1, "{:?}", universe.asked);
    // A wheel that does not fit another builder is not kept.
    again.target.tags = vec!["cp312-cp312-linux_x86_64".to_owned()];
    universe.asked.borrow_mut().clear();
    again.answer(&universe);
    assert_eq!(universe.count("page"), 5);
}

#[test]
fn what_the_builder_has_stays() {
    let universe = Universe::new(WEB);
    let ask = Ask::new(&["flask>=2"]).installed(&["werkzeug==3.0", "markupsafe==2.0", "pip==23.0"]);
    let solution = ask.of(&universe).unwrap();
    assert_eq!(pins(&solution), ["flask==3.0", "jinja2==3.0"]);
    let satisfied = [
        (name("markupsafe"), version("2.0")),
        (name("werkzeug"), version("3.0")),
    ];
    assert_eq!(solution.satisfied, satisfied);
}

#[test]
fn what_would_have_to_be_replaced_is_left_to_pip() {
    let universe = Universe::new(WEB);
    let ask = Ask::new(&["flask>=3"]).installed(&["werkzeug==2.0"]);
    let error = ask.error(&universe);
    assert!(error.is_for_pip());
    let Error::WouldReplace { name, have, wanted } = error else {
        panic!("{error}");
    };
    assert_eq!((name.as_ref(), have), ("werkzeug", version("2.0")));
    assert_eq!(wanted, "`flask` 3.0 wants `werkzeug>=3`");
    let constrained = Ask::new(&["werkzeug"])
        .constrained(&["werkzeug<2"])
        .installed(&["werkzeug==2.0"]);
    let text = constrained.error(&universe).to_string();
    assert!(text.contains("does not satisfy the constraints"), "{text}");
}

#[test]
fn installed_packages_want_things_too() {
    let mut universe = Universe::new(WEB);
    let metadata = universe.metadata[&(name("flask"), version("3.0"))].clone();
    let bare = Ask::new(&["flask"]).installed(&["flask==3.0"]);
    assert_eq!(bare.answer(&universe), "");
    let extra = Ask::new(&["flask[async]"]).installed(&["flask==3.0"]);
    assert!(extra.error(&universe).is_for_pip());
    universe.installed.insert(name("flask"), metadata);
    let all = "jinja2==3.0 markupsafe==2.1 werkzeug==3.0";
    assert_eq!(bare.answer(&universe), all);
    assert_eq!(extra.answer(&universe), format!("asgiref==3.6 {all}"));
}

#[test]
fn many_conflicting_versions_cost_one_question_each() {
    let mut text = String::new();
    for number in 1..=50 {
        text.push_str(&format!(
            "big {number}: core=={number}\ncore {number}: base\n"
        ));
    }
    text.push_str("base 1\napp 1: core<2 | big\n");
    let universe = Universe::new(&text);
    let answer = Ask::new(&["app"]).answer(&universe);
    assert_eq!(answer, "app==1 base==1 big==1 core==1");
    // Once more by the check of the test.
    assert_eq!(universe.count("metadata big"), 50 + 1);
    assert_eq!(
        universe.count("metadata core"),
        1 + 1,
        "{:?}",
        universe.asked
    );
    let waits = *universe.waits.borrow();
    assert!(waits < 20, "{waits} waits for the network");
}

#[test]
fn a_conflict_that_is_learnt_is_not_tried_again() {
    let mut text = String::new();
    for number in 1..=30 {
        text.push_str(&format!(
            "left {number}: shared<2\nright {number}: shared>=2\n"
        ));
        text.push_str(&format!("other {number}\n"));
    }
    text.push_str("shared 1\nshared 2\n");
    let universe = Universe::new(&text);
    let Error::Conflict { .. } = Ask::new(&["left", "other", "right"]).error(&universe) else {
        panic!("no conflict");
    };
    assert!(
        universe.count("metadata") < 70,
        "{}",
        universe.count("metadata")
    );
}

#[test]
fn the_order_of_pages_does_not_matter() {
    let forward = Universe::new(WEB);
    let mut backward = Universe::new(WEB);
    for releases in backward.releases.values_mut() {
        releases.reverse();
    }
    for requirements in [
        &["login", "flask"][..],
        &["flask[async]", "login"],
        &["flask"],
    ] {
        let ask = Ask::new(requirements);
        assert_eq!(ask.of(&forward).unwrap(), ask.of(&backward).unwrap());
        assert_eq!(ask.of(&forward).unwrap(), ask.of(&forward).unwrap());
    }
}

#[test]
fn a_version_with_metadata_that_cannot_be_used_is_passed_over() {
    let universe = "
        a 1
        a 2 metadata-python>=3.12
        a 3 broken
    ";
    assert_eq!(answer(universe, &["a"]), "a==1");
}

#[test]
fn local_versions_satisfy_pins_of_the_public_one() {
    let universe = "
        torch 2.0
        torch 2.1
        torch 2.1+cpu
    ";
    assert_eq!(answer(universe, &["torch==2.1"]), "torch==2.1+cpu");
    assert_eq!(answer(universe, &["torch<=2.1"]), "torch==2.1+cpu");
    assert_eq!(answer(universe, &["torch!=2.1"]), "torch==2.0");
}
