//! Asking the nodes whether they have an image. Loaders end well without having loaded anything, so their word is not taken.

use serde_json::Value;

use super::loader::Image;
use super::process::{Ended, Runner};
use super::{Error, Target, full_name};

/// Engines whose containers nodes are, in the order in which they are tried.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// What is known of an image on the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Each of these nodes has it.
    On(Vec<String>),
    /// Nobody could be asked; why. The `imageID` of the pods will tell.
    Unknown(String),
}

/// Asks every node of the cluster.
///
/// # Errors
/// [`Error::NotOnNode`], [`Error::OtherOnNode`]; [`Error::Interrupted`]. That nodes cannot be asked is no error.
pub fn verify(
    target: &Target,
    image: &Image<'_>,
    said: &[String],
    runner: Runner<'_>,
) -> Result<Verified, Error> {
    let (program, nodes) = match target {
        Target::K3d(name) => ("k3d", k3d_nodes(name, runner)?),
        Target::Kind(name) => ("kind", kind_nodes(name, runner)?),
        Target::Minikube(profile) => {
            return minikube(profile, image, said, runner);
        }
        Target::Registry | Target::Archive(_) => {
            return Ok(Verified::Unknown("nothing was loaded".to_owned()));
        }
    };
    let nodes = match nodes {
        Ok(nodes) if nodes.is_empty() => {
            return Ok(Verified::Unknown(format!(
                "{program} lists no node of {target}"
            )));
        }
        Ok(nodes) => nodes,
        Err(reason) => return Ok(Verified::Unknown(reason)),
    };
    let Some(engine) = engine(&nodes[0], runner)? else {
        return Ok(Verified::Unknown(
            "neither `docker` nor `podman` knows the nodes".to_owned(),
        ));
    };
    for node in &nodes {
        match ask(engine, node, image, runner)? {
            Answer::Has => {}
            Answer::Unknown(reason) => return Ok(Verified::Unknown(reason)),
            Answer::Lacks => {
                return Err(Error::NotOnNode {
                    node: node.clone(),
                    image: image.name.to_string(),
                    program,
                    said: said.to_vec(),
                });
            }
            Answer::Other { found, expected } => {
                return Err(Error::OtherOnNode {
                    node: node.clone(),
                    image: image.name.to_string(),
                    found,
                    expected,
                });
            }
        }
    }
    Ok(Verified::On(nodes))
}

/// That the loader's program is there, works, and knows the cluster. Asked before minutes of work.
///
/// # Errors
/// [`Error::NoProgram`], [`Error::Failed`], [`Error::NoSuchCluster`], [`Error::Timeout`], [`Error::Interrupted`]. An answer that is not understood
/// is none: loading will tell.
pub fn ready(target: &Target, runner: Runner<'_>) -> Result<(), Error> {
    let (program, arguments): (&'static str, Vec<&str>) = match target {
        Target::K3d(_) => ("k3d", vec!["node", "list", "-o", "json"]),
        Target::Kind(name) => ("kind", vec!["get", "nodes", "--name", name]),
        Target::Minikube(profile) => ("minikube", vec!["status", "-p", profile]),
        Target::Registry | Target::Archive(_) => return Ok(()),
    };
    let ended = runner.run(program, &arguments)?;
    if !ended.status.success() {
        return Err(ended.failed());
    }
    let nodes = match target {
        Target::K3d(name) => nodes_of_k3d(&ended.stdout, name),
        Target::Kind(_) => Some(nodes_of_kind(&ended.stdout)),
        _ => None,
    };
    match nodes {
        Some(nodes) if nodes.is_empty() => Err(Error::NoSuchCluster {
            program,
            target: target.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Names that may be an argument of a program.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The outcome of a question: an answer, or why there is none.
type Asked<T> = Result<Result<T, String>, Error>;

/// Runs a program that answers; that it cannot is a reason, not an error.
fn question(program: &str, arguments: &[&str], runner: Runner<'_>) -> Asked<Ended> {
    match runner.run(program, arguments) {
        Ok(ended) if ended.status.success() => Ok(Ok(ended)),
        Ok(ended) => Ok(Err(format!(
            "`{}` ended with {}",
            ended.command, ended.status
        ))),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn k3d_nodes(cluster: &str, runner: Runner<'_>) -> Asked<Vec<String>> {
    let ended = match question("k3d", &["node", "list", "-o", "json"], runner)? {
        Ok(ended) => ended,
        Err(reason) => return Ok(Err(reason)),
    };
    Ok(nodes_of_k3d(&ended.stdout, cluster)
        .ok_or_else(|| "k3d's list of nodes is no JSON".to_owned()))
}

/// The nodes that run pods: no load balancer, no registry.
fn nodes_of_k3d(json: &str, cluster: &str) -> Option<Vec<String>> {
    let nodes: Value = serde_json::from_str(json).ok()?;
    let name = |node: &Value| {
        let is_node = matches!(node["role"].as_str(), Some("server" | "agent"));
        let is_of_it = node["runtimeLabels"]["k3d.cluster"] == cluster;
        let name = node["name"].as_str().filter(|name| is_name(name));
        name.filter(|_| is_node && is_of_it).map(str::to_owned)
    };
    Some(nodes.as_array()?.iter().filter_map(name).collect())
}

fn kind_nodes(cluster: &str, runner: Runner<'_>) -> Asked<Vec<String>> {
    let arguments = ["get", "nodes", "--name", cluster];
    let ended = match question("kind", &arguments, runner)? {
        Ok(ended) => ended,
        Err(reason) => return Ok(Err(reason)),
    };
    Ok(Ok(nodes_of_kind(&ended.stdout)))
}

fn nodes_of_kind(said: &str) -> Vec<String> {
    let is_node = |name: &&str| is_name(name) && !name.ends_with("-external-load-balancer");
    let names = said.split_whitespace().filter(is_node);
    names.map(str::to_owned).collect()
}

/// The engine that has the node's container.
fn engine(node: &str, runner: Runner<'_>) -> Result<Option<&'static str>, Error> {
    for engine in ENGINES {
        let arguments = [
            "container",
            "inspect",
            "--format",
            "{{.State.Running}}",
            node,
        ];
        if question(engine, &arguments, runner)?.is_ok() {
            return Ok(Some(engine));
        }
    }
    Ok(None)
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Has,
    Lacks,
    Other { found: String, expected: String },
    Unknown(String),
}

/// Asks the kubelet's side (`crictl`), else containerd's (`ctr`), inside the node.
fn ask(engine: &str, node: &str, image: &Image<'_>, runner: Runner<'_>) -> Result<Answer, Error> {
    let crictl = ["exec", node, "crictl", "images", "-o", "json"];
    let first = match question(engine, &crictl, runner)? {
        Ok(ended) => match in_crictl(&ended.stdout, image) {
            Some(answer) => return Ok(answer),
            None => format!("the answer of crictl in `{node}` is no list of images"),
        },
        Err(reason) => reason,
    };
    let ctr = ["exec", node, "ctr", "-n", "k8s.io", "images", "list"];
    match question(engine, &ctr, runner)? {
        Ok(ended) => Ok(in_ctr(&ended.stdout, image)),
        Err(reason) => Ok(Answer::Unknown(format!("{first}; {reason}"))),
    }
}

/// What `crictl images -o json` says. Its `id` is the digest of the configuration.
fn in_crictl(json: &str, image: &Image<'_>) -> Option<Answer> {
    let answer: Value = serde_json::from_str(json).ok()?;
    let name = full_name(image.name);
    let has_name = |found: &&Value| {
        let tags = found["repoTags"].as_array();
        tags.is_some_and(|tags| tags.iter().any(|tag| tag == name.as_str()))
    };
    let Some(found) = answer["images"].as_array()?.iter().find(has_name) else {
        return Some(Answer::Lacks);
    };
    let id = found["id"].as_str().unwrap_or_default();
    let expected = image.config.to_string();
    Some(match id == expected || format!("sha256:{id}") == expected {
        true => Answer::Has,
        false => Answer::Other {
            found: format!("the configuration {}", crate::event::printable(id)),
            expected,
        },
    })
}

/// What `ctr images list` says: a table with name, media type and digest of the manifest.
fn in_ctr(table: &str, image: &Image<'_>) -> Answer {
    let name = full_name(image.name);
    let expected = image.manifest.to_string();
    for row in table.lines() {
        let mut columns = row.split_whitespace();
        if columns.next() != Some(&name) {
            continue;
        }
        let digest = columns.nth(1).unwrap_or_default();
        return match digest == expected {
            true => Answer::Has,
            false => Answer::Other {
                found: format!("the manifest {}", crate::event::printable(digest)),
                expected,
            },
        };
    }
    Answer::Lacks
}

fn minikube(
    profile: &str,
    image: &Image<'_>,
    said: &[String],
    runner: Runner<'_>,
) -> Result<Verified, Error> {
    let arguments = ["image", "ls", "-p", profile, "--format", "short"];
    let ended = match question("minikube", &arguments, runner)? {
        Ok(ended) => ended,
        Err(reason) => return Ok(Verified::Unknown(reason)),
    };
    let name = full_name(image.name);
    match ended.stdout.lines().any(|line| line.trim() == name) {
        true => Ok(Verified::On(vec![profile.to_owned()])),
        false => Err(Error::NotOnNode {
            node: profile.to_owned(),
            image: name,
            program: "minikube",
            said: said.to_vec(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::reference::Reference;

    #[test]
    fn answers_of_nodes_are_read() {
        let name: Reference = "team/app:1".parse().unwrap();
        let (config, manifest) = (Digest::of(b"c"), Digest::of(b"m"));
        let image = Image {
            name: &name,
            config: &config,
            manifest: &manifest,
        };
        let crictl = |id: &str, tag: &str| {
            format!(
                "{{\"images\": [{{\"id\": \"x\", \"repoTags\": null}}, {{\"id\": \"{id}\", \"repoTags\": [\"{tag}\"]}}]}}"
            )
        };
        let full = "docker.io/team/app:1";
        assert_eq!(
            in_crictl(&crictl(&config.to_string(), full), &image),
            Some(Answer::Has)
        );
        assert_eq!(
            in_crictl(&crictl(config.hex(), full), &image),
            Some(Answer::Has)
        );
        assert_eq!(
            in_crictl(&crictl(config.hex(), "docker.io/team/app:10"), &image),
            Some(Answer::Lacks)
        );
        assert!(matches!(
            in_crictl(&crictl("sha256:00", full), &image),
            Some(Answer::Other { .. })
        ));
        assert_eq!(in_crictl("no", &image), None);
        let table = |digest: &Digest| {
            format!(
                "REF TYPE DIGEST SIZE\n{full}0 t sha256:0 1\n{full} application/x {digest} 1 MiB -\n"
            )
        };
        assert_eq!(in_ctr(&table(&manifest), &image), Answer::Has);
        assert!(matches!(
            in_ctr(&table(&config), &image),
            Answer::Other { .. }
        ));
        assert_eq!(in_ctr("REF\n", &image), Answer::Lacks);
    }

    #[test]
    fn only_nodes_of_the_cluster_that_run_pods_are_asked() {
        let json = r#"[{"name":"k3d-a-server-0","role":"server","runtimeLabels":{"k3d.cluster":"a"}},
            {"name":"k3d-a-serverlb","role":"loadbalancer","runtimeLabels":{"k3d.cluster":"a"}},
            {"name":"k3d-ab-agent-0","role":"agent","runtimeLabels":{"k3d.cluster":"ab"}},
            {"name":"--help","role":"agent","runtimeLabels":{"k3d.cluster":"a"}},
            {"name":"k3d-a-agent-0","role":"agent","runtimeLabels":{"k3d.cluster":"a"}}]"#;
        assert_eq!(
            nodes_of_k3d(json, "a").unwrap(),
            ["k3d-a-server-0", "k3d-a-agent-0"]
        );
        assert_eq!(nodes_of_k3d("{}", "a"), None);
    }
}
