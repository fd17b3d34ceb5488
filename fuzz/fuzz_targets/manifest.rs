//! Any text as a manifest and as a kustomization: the image of the first container changes alone, or nothing does.
//! `cargo +nightly fuzz run manifest -- -max_len=4096`

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use overcoat::kubernetes::kustomization::Kustomization;
use overcoat::kubernetes::manifest::{Manifest, Wanted, edit, find};

const NEW: &str = "registry.example/fuzz/new:2";

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::new(Path::new("m"), text.to_owned()) else {
        return;
    };
    if let Ok(kustomization) = Kustomization::of(manifest.clone())
        && let Ok(set) = kustomization.set("app", NEW)
    {
        let again = Manifest::new(Path::new("m"), set.edited.after).unwrap();
        let again = Kustomization::of(again).unwrap().set("app", NEW).unwrap();
        assert!(!again.edited.is_change());
    }
    for workload in manifest.workloads() {
        for container in workload.containers {
            let wanted = Wanted {
                container: Some(container.name),
                workload: Some(workload.name.clone()),
                namespace: workload.namespace.clone(),
                init_containers: true,
            };
            let manifests = [manifest.clone()];
            let Ok(found) = find(&manifests, &wanted) else {
                continue;
            };
            let Ok(edited) = edit(&manifests[0], &found, NEW) else {
                continue;
            };
            let (before, after) = (edited.before.as_bytes(), edited.after.as_bytes());
            let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
            let rest = before.len().min(after.len()) - start;
            let back = before.iter().rev().zip(after.iter().rev());
            let end = back.take(rest).take_while(|(a, b)| a == b).count();
            assert!(after.len() - start - end <= NEW.len() + 1200);
            let again = [Manifest::new(Path::new("m"), edited.after.clone()).unwrap()];
            let found = find(&again, &wanted).unwrap();
            assert_eq!(found.image.as_deref(), Some(NEW));
        }
    }
});
