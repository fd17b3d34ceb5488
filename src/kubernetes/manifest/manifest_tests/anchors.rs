//! Images that anchors, aliases and merge keys share.

use super::*;

#[test]
fn an_anchor_changes_only_if_nothing_else_uses_it() {
    let one = deployment("      - name: web-app\n        image: *img\n");
    vector(&format!("x-image: &img «{OLD}» # c\n{one}"));
    vector(&format!(".image: &img \"«{OLD}»\"\n{one}"));
    // What only holds things for aliases uses nothing itself.
    vector(&format!("x-image: &img «{OLD}»\nx-also: *img\n{one}"));
    for text in [
        format!("x-image: &img {OLD}\n{one}      - name: side\n        image: *img\n"),
        format!(
            "x-image: &img {OLD}\n{one}      initContainers:\n      - name: migrate\n        image: *img\n"
        ),
        deployment(&format!(
            "      - name: web-app\n        image: &img {OLD}\n      - name: side\n        image: *img\n"
        )),
        deployment(&format!(
            "      - name: side\n        image: &img {OLD}\n      - name: web-app\n        image: *img\n"
        )),
        format!(
            "metadata:\n  labels: {{v: &img {OLD}}}\nkind: Pod\nspec:\n  containers:\n  - name: web-app\n    image: *img\n"
        ),
        format!("x-all: &all\n- &img {OLD}\nother: *all\n{one}"),
    ] {
        match edited(&text, &web_app()) {
            Err(Error::Shared { .. }) => {}
            other => panic!("{other:?}\n{text}"),
        }
    }
    let error = refused(
        &deployment(&format!(
            "      - name: web-app\n        image: &img {OLD}\n      - name: side\n        image: *img\n"
        )),
        &web_app(),
        &["line 10", "lines 10, 12", "x-"],
    );
    assert!(matches!(error, Error::Shared { line: 10, .. }));
    // The container itself is an alias.
    vector(&format!(
        "x-c: &c\n  name: web-app\n  image: «{OLD}»\n{}",
        deployment("      - *c\n")
    ));
    refused(
        &format!(
            "x-c: &c\n  name: web-app\n  image: {OLD}\n{}      initContainers: [*c]\n",
            deployment("      - *c\n")
        ),
        &web_app(),
        &["lines"],
    );
}

#[test]
fn what_is_merged_changes_only_if_nothing_else_merges_it() {
    let base = format!("x-base: &base\n  image: «{OLD}»\n  tty: true\n");
    let merging = "      - <<: *base\n        name: web-app\n";
    vector(&format!("{base}{}", deployment(merging)));
    vector(&format!(
        "{base}{}",
        deployment("      - name: web-app\n        <<: [*base]\n")
    ));
    let text = format!(
        "{base}{}      - <<: *base\n        name: side\n",
        deployment(merging)
    );
    refused(
        &text.replace(['«', '»'], ""),
        &web_app(),
        &["shared", "lines"],
    );
    // Its own image counts more than a merged one.
    let own = deployment(&format!(
        "      - <<: *base\n        name: web-app\n        image: «{OLD}»\n      - <<: *base\n        name: side\n"
    ));
    vector(&format!("{}{own}", base.replace(['«', '»'], "")));
    // A merge that goes round ends.
    let round = format!(
        "x-a: &a\n  <<: *a\n{}",
        deployment("      - <<: *a\n        name: web-app\n")
    );
    if let Ok(edited) = edited(&round, &web_app()) {
        assert_eq!(edited.after, format!("{round}        image: {NEW}\n"));
    }
}
