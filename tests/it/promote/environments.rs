//! Environments by name: `overcoat.toml`, op's variables, op's properties.

use super::*;

/// `overcoat promote --source FROM --destination TO` in the project's directory.
fn promote(bench: &Bench, from: &str, to: &str, variables: &[(&str, &str)]) -> Done {
    let mut command = bench
        .overcoat
        .command(&["promote", "--source", from, "--destination", to]);
    command.current_dir(bench.directory.path());
    command.envs(variables.iter().copied());
    command.output().unwrap().into()
}

fn project(bench: &Bench) {
    let [dev, pp, prod] = bench.registries();
    let text = format!(
        "[environments.dev]\nregistry = \"{dev}\"\n\n[environments.pp]\nregistry = \"{pp}\"\n\n\
         [environments.live]\nregistry = \"{prod}\"\n\n[environments.bare]\nnamespace = \"x\"\n"
    );
    fs::write(bench.directory.path().join("overcoat.toml"), text).unwrap();
}

#[test]
fn environments_have_their_registries_from_the_project() {
    let bench = bench();
    project(&bench);
    let [_, pp, prod] = bench.registries();
    promote(&bench, "dev", "pp", &[]).ok();
    // `team/api` keeps its path on the second hop too, though the results name dev's registry: the project knows it.
    let done = promote(&bench, "pp", "live", &[]).ok();
    assert_eq!(
        done.stdout,
        format!(
            "{prod}/web:v1@{}\n{prod}/team/api:v1@{}\n",
            bench.web, bench.api
        )
    );
    assert_eq!(
        standing(&format!("{pp}/team/api:v1")),
        Some(bench.api.clone())
    );
    assert_eq!(
        standing(&format!("{prod}/team/api:v1")),
        Some(bench.api.clone())
    );
}

#[test]
fn op_s_variables_and_properties_name_the_registries() {
    let bench = bench();
    let [dev, pp, prod] = bench.registries();
    let variables = [
        ("GOOGLE_GKE_IMAGE_REPOSITORY", dev.as_str()),
        ("GOOGLE_GKE_IMAGE_PP_REPOSITORY", pp.as_str()),
    ];
    promote(&bench, "dev", "pp", &variables).ok();
    assert_eq!(standing(&format!("{pp}/web:v1")), Some(bench.web.clone()));
    // Nobody says dev's registry now, which the results name.
    let text = format!(
        "# registries\nGOOGLE_GKE_IMAGE_PP_REPOSITORY={pp}\nGOOGLE_GKE_IMAGE_PROD_REPOSITORY = {prod}\n"
    );
    fs::write(bench.directory.path().join("pipeline.properties"), text).unwrap();
    promote(&bench, "pp", "prod", &[]).ok();
    assert_eq!(
        standing(&format!("{prod}/team/api:v1")),
        Some(bench.api.clone())
    );
}

#[test]
fn an_environment_that_nobody_knows_is_said_with_those_that_there_are() {
    let bench = bench();
    project(&bench);
    let unknown = promote(&bench, "dev", "moon", &[]);
    assert_eq!(unknown.code, Some(81), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("there is no environment `moon`"),
        "{}",
        unknown.stderr
    );
    assert!(unknown.stderr.contains("live"), "{}", unknown.stderr);
    let bare = promote(&bench, "dev", "bare", &[]);
    assert_ne!(bare.code, Some(0));
    assert!(
        bare.stderr
            .contains("nothing says which registry the environment `bare` has"),
        "{}",
        bare.stderr
    );
    assert_eq!(writes(&bench.pp), [""; 0]);
    let neither = bench.overcoat.run(&["promote", "--source", "dev"]);
    assert_eq!(neither.code, Some(2), "{}", neither.stderr);
}

#[test]
fn a_mistyped_environment_does_not_get_the_registry_that_is_for_all() {
    let bench = bench();
    project(&bench);
    let [dev, pp, _] = bench.registries();
    let fallbacks = [
        ("PROMOTE_SOURCE_REPOSITORY", dev.as_str()),
        ("PROMOTE_DESTINATION_REPOSITORY", pp.as_str()),
    ];
    for (from, to) in [("dve", "pp"), ("dev", "pp2"), ("dev", "prod")] {
        let done = promote(&bench, from, to, &fallbacks);
        assert_eq!(done.code, Some(81), "{from} {to}: {}", done.stderr);
        assert!(
            done.stderr.contains("the project has the environments"),
            "{}",
            done.stderr
        );
    }
    assert_eq!(writes(&bench.pp), [""; 0]);
    // A declared one without a registry of its own has it.
    promote(&bench, "bare", "pp", &fallbacks).ok();
    assert_eq!(standing(&format!("{pp}/web:v1")), Some(bench.web.clone()));

    // op takes any name, and says what it thinks of it.
    let words = ["promote-image", "--source", "dve", "--destination", "pp"];
    let mut command = bench.overcoat.called("op", &words);
    command.current_dir(bench.directory.path());
    command.envs(fallbacks);
    let done = Done::from(command.output().unwrap()).ok();
    let doubt = format!(
        "warning: nothing declares the environment `dve`: it has the registry of every name, {dev}"
    );
    assert!(done.stderr.contains(&doubt), "{}", done.stderr);
}

#[test]
fn where_no_environments_are_declared_a_name_is_op_s_or_told_to_be_unknown() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let fallbacks = [
        ("PROMOTE_SOURCE_REPOSITORY", dev.as_str()),
        ("PROMOTE_DESTINATION_REPOSITORY", pp.as_str()),
    ];
    let done = promote(&bench, "dev", "staging", &fallbacks).ok();
    let doubts = done.stderr.matches("nothing declares the environment");
    assert_eq!(doubts.count(), 1, "{}", done.stderr);
    assert!(done.stderr.contains("`staging`"), "{}", done.stderr);
    assert_eq!(standing(&format!("{pp}/web:v1")), Some(bench.web.clone()));
}
