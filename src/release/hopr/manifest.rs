//! The workloads of a manifest that have a certain container.

use crate::yaml::{self, Node};

/// A workload with the container that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind, `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace, where the manifest says one.
    pub namespace: Option<String>,
    /// The image of the container.
    pub image: Option<String>,
    /// The container's `imagePullPolicy`, where it has one.
    pub pull_policy: Option<String>,
    /// The line of the container's image, or of the container, from 1.
    pub line: usize,
}

/// The workloads in a text of YAML or JSON documents whose pod template has a container of this name.
///
/// # Errors
/// [`yaml::Error`] for what is neither.
pub fn workloads(text: &str, container: &str) -> Result<Vec<Workload>, yaml::Error> {
    let mut found = Vec::new();
    for document in yaml::parse(text)? {
        if let Some(root) = &document.root {
            collect(root, container, &mut found);
        }
    }
    Ok(found)
}

/// The kinds of the objects in a text, in order; none for values of Helm and other YAML.
///
/// # Errors
/// As [`workloads`].
pub fn kinds(text: &str) -> Result<Vec<String>, yaml::Error> {
    let documents = yaml::parse(text)?;
    let kind = |root: &Node| {
        let kind = root.get("kind").and_then(Node::text)?;
        root.get("apiVersion").map(|_| kind.to_owned())
    };
    Ok(documents
        .iter()
        .filter_map(|document| kind(document.root.as_ref()?))
        .collect())
}

fn collect(node: &Node, container: &str, found: &mut Vec<Workload>) {
    let text = |node: &Node, path: &[&str]| node.at(path).and_then(Node::text).map(str::to_owned);
    let Some(kind) = text(node, &["kind"]) else {
        return;
    };
    if kind.ends_with("List") {
        // A list of lists is none that the API knows, so one level is enough.
        for item in node.get("items").map(Node::items).unwrap_or_default() {
            if !item
                .get("kind")
                .and_then(Node::text)
                .is_some_and(|kind| kind.ends_with("List"))
            {
                collect(item, container, found);
            }
        }
        return;
    }
    let path: &[&str] = match kind.as_str() {
        "Pod" => &["spec", "containers"],
        "CronJob" => &[
            "spec",
            "jobTemplate",
            "spec",
            "template",
            "spec",
            "containers",
        ],
        _ => &["spec", "template", "spec", "containers"],
    };
    let containers = node.at(path).map(Node::items).unwrap_or_default();
    let is_it = |item: &&Node| item.get("name").and_then(Node::text) == Some(container);
    if let (Some(item), Some(name)) = (
        containers.iter().find(is_it),
        text(node, &["metadata", "name"]),
    ) {
        found.push(Workload {
            kind,
            name,
            namespace: text(node, &["metadata", "namespace"]),
            image: text(item, &["image"]).filter(|image| !image.is_empty()),
            pull_policy: text(item, &["imagePullPolicy"]),
            line: item.get("image").map_or(item.line, |image| image.line),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_found_by_their_container_and_not_by_text() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: |\n    kind: Deployment\n    name: web-app\n---\n\
            apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: gateway\n  namespace: ns\nspec:\n  template:\n    spec:\n      initContainers:\n      - {name: web-app, image: no:1}\n      containers:\n      - name: wosp\n        image: wosp:1\n      - image: 'team/app:2' # c\n        name: web-app\n        imagePullPolicy: Never\n---\n\
            {\"kind\": \"List\", \"items\": [{\"kind\": \"CronJob\", \"metadata\": {\"name\": \"cron\"}, \"spec\": {\"jobTemplate\": {\"spec\": {\"template\": {\"spec\": {\"containers\": [{\"name\": \"web-app\"}]}}}}}}]}\n";
        let found = workloads(text, "web-app").unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            found[0],
            Workload {
                kind: "Deployment".to_owned(),
                name: "gateway".to_owned(),
                namespace: Some("ns".to_owned()),
                image: Some("team/app:2".to_owned()),
                pull_policy: Some("Never".to_owned()),
                line: 22,
            }
        );
        assert_eq!(
            (found[1].kind.as_str(), found[1].image.as_ref()),
            ("CronJob", None)
        );
        assert!(workloads("a: [", "web-app").is_err());
        assert!(workloads("", "web-app").unwrap().is_empty());
        assert_eq!(kinds(text).unwrap(), ["ConfigMap", "Deployment"]);
    }
}
