//! The real binary, against real programs: docker-registry, skopeo, umoci, GNU tar, an ordinary user of this machine.
//!
//! * `tiny` – builds on a builder image of busybox and shell scripts, made here; no network.
//! * `archives` – layouts and archives, ours read by others and theirs by us.
//! * `engines` – archives that containerd, Docker and podman load, `--load`, and archives that they write.
//! * `assembled` – layers of assemble that stay the same, zstd, bytecode that stays valid; the latter on the real recipe.
//! * `registry` – push and pull against Debian's docker-registry.
//! * `login` – `login`, `logout`, `--creds`, and every place that credentials are found in; token servers.
//! * `manifests` – `deploy` into manifests and kustomizations, byte by byte, and what it refuses.
//! * `overlays` – `deploy` into files that are not alone: overlays, several applications, registries that lack the image.
//! * `mirrors` – settings of single registries: mirrors, certificates, mutual TLS, blocked ones.
//! * `push` – pushes that move no byte twice: bases that stay where they are, what a registry lost, indexes.
//! * `copy` – copies between registries, layouts and archives as they are; tags, digests, deletion, referrers.
//! * `promote` – images given to the next environment: three registries, results, conflicts, files for pipelines.
//! * `cache` – steps that are not done again, the previous image as a cache, and caches that are wrong.
//! * `up` – blueprints of Hopr: checks, loaders, containerd, a real Kubernetes API.
//! * `wheels` – wheel layers, against what pip installs of the same wheels.
//! * `direct` – layers without executing anything, on the real recipe. Needs the network.
//! * `sources` – wheels built from source distributions, and interpreters that have to be asked; on the real recipe.
//! * `popular` – the most downloaded projects, file for file as pip installs them. Needs the network.
//! * `placed` – wheels that requirements name by their place. Needs the network.
//! * `readers` – wheel layers and zstd, read and run by other programs. Needs the network.
//! * `records` – `history`, `logs`, `status`, `workspaces`, `release`, `rollback`, `prune`, and hooks around them.
//! * `pypi` – what the public package index says. Needs the network.
//! * `steps` – what a step gets beside its source, and what happens to what it prints.
//! * `s2i` – the program called as `s2i`: its words, streams and statuses, and where images go.
//! * `s2i_core` – scripts, previous images, runtime images, triggers, labels and sources by s2i's contract, end to end.
//! * `injections` – injected files, added hosts, fewer capabilities, and captured output, on every rung.
//! * `places` – images in Docker's and podman's stores as builders.
//! * `check` – a second build in another way, and what is said of the difference.
//! * `cluster` – images given to a real Kubernetes API (`tests/cluster/build`), and to one of written replies.
//! * `doctor` – which kinds of isolation work, under restrictions that are made here.
//! * `errors` – what people read when something is wrong, and what is left behind then.
//! * `escape` – what a hostile step tries on every rung, what it may not leave behind, and images that cannot be run.
//! * `runners` – the kinds of runner that people build in are made, and allow and refuse what they should.
//! * `runners_build` – each kind of runner takes the right rung, and the image is the same everywhere.
//! * `workloads` – what hooks really do: daemons, many files, all that a layer can say; apt, compilers and git, the
//!   last three on the real recipe and with the network.
//! * `matrix` – the main job on every kind of runner, with the same digest. Needs the network.
//! * `dockerfile` – contexts of `--as-dockerfile`, built with buildah: the same tree as `overcoat build` makes.
//! * `sbom` – bills of materials, against pip, dpkg, a registry and validators. Part needs the network.
//! * `scaffold` – `create` and `init`: what they write builds, runs and passes its own test. Needs the network.
//! * `s2i_builders` – the kinds of builder image that people have, and upstream's fake one. Part needs the network.
//! * `s2i_apps` – applications of every kind on those, built, answering, edited. Needs the network.
//! * `flask` – the main job on the real recipe. Needs the network: a Debian mirror and a package index.
//! * `watch` – rollouts on a real Kubernetes API and against written replies: what is awaited, and why they fail.
//!
//! `./test.sh` installs what these need. They run as root, for some act as an ordinary user in between.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod archives;
mod assembled;
mod cache;
mod check;
mod cluster;
mod config;
mod copy;
mod deliveries;
mod direct;
mod dockerfile;
mod doctor;
mod engines;
mod errors;
mod escape;
mod flask;
mod injections;
mod login;
mod manifests;
mod matrix;
mod mirrors;
mod mistakes;
mod op;
mod op_run;
mod overlays;
mod patches;
mod path;
mod placed;
mod places;
mod popular;
mod project;
mod promote;
mod propagation;
mod push;
mod pypi;
mod readers;
mod records;
mod registry;
mod returns;
mod runners;
mod runners_build;
mod s2i;
mod s2i_apps;
mod s2i_builders;
mod s2i_core;
mod sbom;
mod scaffold;
mod sources;
mod steps;
mod support;
mod tiny;
mod transfers;
mod up;
mod watch;
mod wheels;
mod workloads;
