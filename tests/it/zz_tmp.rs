#[test]
fn make_tiny() {
    let d = std::path::Path::new("/tmp/w/b");
    let image = super::support::tiny::Tiny {
        user: "0",
        ..Default::default()
    }
    .write(d);
    std::fs::write("/tmp/w/name", image).unwrap();
}
