//! What steps do to files.

use super::*;

#[test]
fn what_a_step_does_to_its_builders_files_is_what_others_unpack() {
    let scene = Scene::new();
    let text = |path| (path, "old\n");
    let files = [
        "srv/emptied/a",
        "srv/emptied/b",
        "srv/file-a",
        "srv/gone",
        "srv/gone-tree/x/y",
        "srv/kept",
        "srv/moved/inner/deep/z",
        "srv/moved/w",
        "srv/now-file/a",
        "srv/now-tree",
        "srv/only-mode",
        "srv/only-owner",
        "srv/replaced",
        "srv/touched",
    ];
    let builder = scene.builder(CHANGES, files.map(text).to_vec());
    let source = scene.source();
    let arguments = [&source, "--build-image", &builder];
    let overcoat = same_everywhere(|it| it, &arguments);
    let listing = overcoat.list_layer(&overcoat.layers("app")[2]);
    let lines: Vec<String> = listing
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Without the times, which are the limit's.
            [&words[..3], &words[5..]].concat().join(" ")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "drwxr-xr-x 0/0 0 opt/",
            "-rw-r--r-- 0/0 4 opt/kept-elsewhere",
            "drwxr-xr-x 0/0 0 srv/",
            "---------- 0/0 0 srv/.wh.file-a",
            "---------- 0/0 0 srv/.wh.gone",
            "---------- 0/0 0 srv/.wh.gone-tree",
            "---------- 0/0 0 srv/.wh.moved",
            "drwxr-xr-x 0/0 0 srv/emptied/",
            "---------- 0/0 0 srv/emptied/.wh.a",
            "---------- 0/0 0 srv/emptied/.wh.b",
            "-rw-r--r-- 0/0 6 srv/emptied/other",
            "-rw-r--r-- 0/0 4 srv/file-b",
            "hrw-r--r-- 0/0 0 srv/kept link to opt/kept-elsewhere",
            "hrw-r--r-- 0/0 0 srv/kept-link link to opt/kept-elsewhere",
            "lrwxrwxrwx 0/0 0 srv/link -> ../etc/passwd",
            "drwxr-xr-x 0/0 0 srv/moved-to/",
            "drwxr-xr-x 0/0 0 srv/moved-to/inner/",
            "drwxr-xr-x 0/0 0 srv/moved-to/up/",
            "-rw-r--r-- 0/0 4 srv/moved-to/up/z",
            "-rw-r--r-- 0/0 4 srv/moved-to/w",
            "-rw-r--r-- 0/0 5 srv/now-file",
            "drwxr-xr-x 0/0 0 srv/now-tree/",
            "-rw-r--r-- 0/0 7 srv/now-tree/inside",
            "-rwx------ 0/0 4 srv/only-mode",
            "-rw-r--r-- 33/33 4 srv/only-owner",
            "prw-r--r-- 0/0 0 srv/pipe",
            "-rw-r--r-- 0/0 4 srv/replaced",
            "-rwsr-sr-x 1001/2000 2 srv/setuid",
            "-rw-r--r-- 0/0 5000000 srv/sparse",
            "drwxrwxrwt 0/0 0 srv/sticky/",
        ]
    );
    let root = unpacked(&overcoat, &arguments);
    let mut names: Vec<String> = fs::read_dir(root.join("srv"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names.join(" "),
        "emptied file-b kept kept-link link moved-to now-file now-tree only-mode only-owner pipe replaced setuid \
         sparse sticky touched"
    );
    let metadata = |name: &str| fs::symlink_metadata(root.join(name)).unwrap();
    let setuid = metadata("srv/setuid");
    assert_eq!(
        (setuid.mode() & 0o7777, setuid.uid(), setuid.gid()),
        (0o6755, 1001, 2000)
    );
    let inodes =
        ["srv/kept", "srv/kept-link", "opt/kept-elsewhere"].map(|name| metadata(name).ino());
    assert_eq!(inodes, [inodes[0]; 3]);
    let sparse = fs::read(root.join("srv/sparse")).unwrap();
    assert_eq!(
        (sparse.len(), &sparse[4_000_000..4_000_004]),
        (5_000_000, &b"end\n"[..])
    );
    let emptied: Vec<_> = fs::read_dir(root.join("srv/emptied")).unwrap().collect();
    assert_eq!(emptied.len(), 1, "{emptied:?}");
}

#[test]
fn files_that_differ_on_every_run_stay_out_of_layers_and_what_the_builder_has_stays_in() {
    let scene = Scene::new();
    let builder = scene.builder(
        "#!/bin/sh\nset -e\nmkdir -p /var/log/apt /var/lib/apt/lists/partial /var/cache/ldconfig\n\
         for file in /var/log/apt/term.log /var/log/mine.log /var/lib/apt/lists/x_InRelease /var/cache/ldconfig/aux-cache; do\n  \
         echo $file > $file\ndone\necho more >> /var/log/dpkg.log\nrm /var/log/alternatives.log\n\
         ln /var/log/apt/term.log /var/log/term-link\n",
        vec![("var/log/alternatives.log", "base\n"), ("var/log/dpkg.log", "base\n")],
    );
    let source = scene.source();
    let overcoat = same_everywhere(|it| it, &[&source, "--build-image", &builder]);
    let listing = overcoat.list_layer(&overcoat.layers("app")[2]);
    let names: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    assert_eq!(
        names,
        [
            "var/",
            "var/cache/",
            "var/cache/ldconfig/",
            "var/lib/",
            "var/lib/apt/",
            "var/lib/apt/lists/",
            "var/lib/apt/lists/partial/",
            "var/log/",
            "var/log/.wh.alternatives.log",
            "var/log/apt/",
            "var/log/mine.log",
            "var/log/term-link",
        ]
    );
    let shown = overcoat.run(&[
        "run",
        "app",
        "--",
        "cat",
        "/var/log/dpkg.log",
        "/var/log/term-link",
    ]);
    assert_eq!(shown.ok().stdout, "base\n/var/log/apt/term.log\n");
}
