//! What manifests name is not pruned.

use super::*;

impl Shop {
    /// True while the registry has the image.
    fn has(&self, image: &str) -> bool {
        let done = self.run(&["digest", image]);
        match done.code {
            Some(0) => true,
            Some(4) => false,
            _ => panic!("{}", done.stderr),
        }
    }
}

const PRUNE: [&str; 4] = ["prune", "--retain", "1", "--delete-tags"];

#[test]
fn an_image_that_a_manifest_names_by_its_tag_stays_with_its_record() {
    let shop = Shop::new();
    let images = shop.deployed(&["1\n", "2\n", "3\n"], &["--manifest", "m/d.yaml"]);
    // As `--no-pin` and people write it.
    fs::write(shop.root.join("m/d.yaml"), deployment(by_tag(&images[0]))).unwrap();
    let done = shop.run(&["prune", "--retain", "1"]).ok();
    assert!(
        done.stderr
            .contains("the deploy 1 of web has an image that runs: `m/d.yaml` names it"),
        "{}",
        done.stderr
    );
    assert_eq!(shop.sequences(), [1, 3]);

    let images = [images, shop.deployed(&["4\n"], &["--manifest", "m/d.yaml"])].concat();
    // Under another name of the same registry, and in two pieces.
    let (name, tag) = by_tag(&images[0]).rsplit_once(':').unwrap();
    let name = name.replace(shop.registry.host(), "registry.local:5000");
    let text = format!("images:\n- name: web\n  newName: {name}\n  newTag: \"{tag}\"\n");
    fs::write(shop.root.join("m/d.yaml"), text).unwrap();
    shop.run(&PRUNE).ok();
    assert_eq!(shop.sequences(), [1, 4]);
    let has: Vec<bool> = images.iter().map(|image| shop.has(image)).collect();
    // The record of the second was forgotten before images were to be deleted.
    assert_eq!(has, [true, true, false, true]);

    // Nothing names it any more.
    fs::write(shop.root.join("m/d.yaml"), deployment(&images[3])).unwrap();
    shop.run(&PRUNE).ok();
    assert_eq!(shop.sequences(), [4]);
    assert!(!shop.has(&images[0]) && shop.has(&images[3]));
}

#[test]
fn a_tag_in_a_manifest_stands_for_the_image_that_the_registry_has_by_it() {
    let shop = Shop::new();
    let images: Vec<String> = ["1\n", "2\n", "3\n"]
        .iter()
        .map(|edit| shop.build(edit))
        .collect();
    let (name, _) = by_tag(&images[0]).rsplit_once(':').unwrap();
    let stable = format!("{name}:stable");
    let digest = |image: &str| image.split_once('@').unwrap().1.to_owned();
    let deploy = |image: &str| {
        let image = format!("{stable}@{}", digest(image));
        shop.deploy(&["--image", &image, "--manifest", "m/d.yaml"]);
    };
    for image in &images {
        shop.run(&["copy", image, &stable]).ok();
        deploy(image);
    }
    // Moved back by hand: the newest record of the tag is not of what it stands for.
    shop.run(&["copy", &images[0], &stable]).ok();
    fs::write(shop.root.join("m/d.yaml"), deployment(&stable)).unwrap();
    let done = shop.run(&PRUNE).ok();
    assert_eq!(shop.sequences(), [3]);
    assert!(
        done.stderr
            .contains(&format!("`m/d.yaml` names `{stable}`, which is this image")),
        "{}",
        done.stderr
    );
    assert!(shop.has(&images[0]));
}

#[test]
fn a_manifest_that_is_gone_says_nothing_of_what_runs() {
    let shop = Shop::new();
    let images = shop.deployed(&["1\n", "2\n", "3\n"], &["--manifest", "m/d.yaml"]);
    fs::rename(shop.root.join("m/d.yaml"), shop.root.join("m/moved.yaml")).unwrap();
    let done = shop.run(&PRUNE).ok();
    assert!(
        done.stderr.contains("stays in its registry")
            && done
                .stderr
                .contains("m/d.yaml`, which it may have been written into"),
        "{}",
        done.stderr
    );
    assert!(images.iter().all(|image| shop.has(image)));
    assert!(
        done.stdout.contains(" and 0 images are gone"),
        "{}",
        done.stdout
    );
}

#[test]
fn what_a_deployment_that_failed_has_brought_all_the_same_stays() {
    let shop = Shop::of(
        Overcoat::new(),
        "[[hooks]]\noperation = \"deploy\"\nwhen = \"before\"\ncommand = [\"test\", \"!\", \"-e\", \"refuse\"]\n",
    );
    let to = ["--manifest", "m/d.yaml"];
    shop.deployed(&["1\n"], &to);
    let second = shop.build("2\n");
    fs::write(shop.root.join("refuse"), "").unwrap();
    let words = [&["deploy", "web", "--environment", "dev"], &to[..]].concat();
    assert_eq!(shop.run(&words).code, Some(95));
    fs::remove_file(shop.root.join("refuse")).unwrap();
    shop.deployed(&["3\n"], &to);
    // Somebody else has put it there.
    fs::write(shop.root.join("m/d.yaml"), deployment(&second)).unwrap();
    shop.run(&PRUNE).ok();
    assert!(shop.has(&second));
    assert_eq!(shop.sequences(), [2, 3]);
}

#[test]
fn of_several_deployments_of_an_image_that_runs_only_the_one_that_stays_is_told() {
    let shop = Shop::new();
    let images = shop.deployed(&["1\n"], &["--manifest", "m/d.yaml"]);
    shop.deploy(&["--manifest", "m/d.yaml"]);
    shop.deployed(&["2\n"], &["--manifest", "m/d.yaml"]);
    fs::write(shop.root.join("m/d.yaml"), deployment(&images[0])).unwrap();
    let done = shop.run(&["prune", "--retain", "1"]).ok();
    let told = |number: u64| {
        let text = format!("the deploy {number} of web has an image that runs");
        done.stderr.contains(&text)
    };
    assert_eq!((told(1), told(2)), (false, true), "{}", done.stderr);
    assert_eq!(shop.sequences(), [2, 3]);
}
