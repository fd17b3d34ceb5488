//! What came of a rollout is on record, and `status --cluster` tells what runs now.

use std::path::PathBuf;

use super::*;

/// A project `shop` with the application `web`, in a directory of the program's.
struct Shop {
    overcoat: Overcoat,
    root: PathBuf,
}

impl Shop {
    fn new(bed: &Bed) -> Self {
        let overcoat = bed.overcoat();
        let root = overcoat.path().join("shop");
        std::fs::create_dir_all(root.join("web")).unwrap();
        let text = format!(
            "project = \"shop\"\n[applications.web]\npath = \"web\"\nimage = \"team/app\"\ncontainer = \"web-app\"\n\
             workload = \"deployment/web\"\n[environments.prod]\ncontext = \"k3d-test\"\nnamespace = \"{}\"\n",
            bed.namespace()
        );
        std::fs::write(root.join("overcoat.toml"), text).unwrap();
        Self { overcoat, root }
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut command = self.overcoat.command(arguments);
        for variable in ["OVERCOAT_HISTORY", "OVERCOAT_ENVIRONMENT", "GITHUB_ACTIONS"] {
            command.env_remove(variable);
        }
        command.current_dir(&self.root).output().unwrap().into()
    }

    fn deploy(&self, image: &str) {
        let words = [
            "deploy",
            "web",
            "--cluster",
            "--no-verify",
            "--environment",
            "prod",
            "--image",
            image,
        ];
        self.run(&words).ok();
    }

    fn watch(&self, image: &str, more: &[&str]) -> Done {
        let words = [
            "watch",
            "web",
            "--environment",
            "prod",
            "--image",
            image,
            "--stable",
            "0s",
        ];
        let limit: &[&str] = match more.contains(&"--timeout") {
            true => &[],
            false => &["--timeout", "100s"],
        };
        self.run(&[&words[..], limit, more].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).ok().stdout).unwrap()
    }
}

#[test]
fn a_deployment_whose_rollout_failed_is_known_by_that() {
    let test = "a_deployment_whose_rollout_failed_is_known_by_that";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    let shop = Shop::new(&bed);
    let good = format!("{V1}@{DIGEST}");
    shop.deploy(&good);
    shop.watch(&good, &[]).ok();
    let bad = format!("{V2}@{OTHER}");
    kubelet.fate(&bad, Fate::ImagePullBackOff);
    shop.deploy(&bad);
    let done = shop.watch(&bad, &["--grace", "1s"]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);

    let records = shop.json(&["history", "--json"]);
    let kinds: Vec<&str> = (0..4)
        .map(|n| records[n]["operation"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["watch", "deploy", "watch", "deploy"]);
    assert_eq!(records[0]["state"], "error");
    assert_eq!(records[0]["links"]["deploy"], records[1]["id"]);
    assert_eq!(records[0]["results"]["rollout"], "failed");
    assert_eq!(records[0]["digest"], OTHER);
    let reason = records[0]["error"].as_str().unwrap();
    assert!(reason.contains("cannot pull its image"), "{reason}");
    // The deployment was done, and its record stays as it is; what became of it is told beside.
    assert_eq!(records[1]["state"], "success");
    assert_eq!(records[1]["rollout"]["state"], "failed");
    assert_eq!(records[1]["rollout"]["watch"], records[0]["id"]);
    assert_eq!(records[1]["rollout"]["reason"], reason);
    assert_eq!(records[3]["rollout"]["state"], "complete");
    let table = shop.run(&["history", "-v"]).ok().stdout;
    let deployments: Vec<&str> = table
        .lines()
        .filter(|line| line.contains(" deploy "))
        .collect();
    assert!(deployments[0].starts_with('✖'), "{table}");
    assert!(
        deployments[0].contains("its rollout has failed: "),
        "{table}"
    );
    assert!(deployments[1].starts_with('✔'), "{table}");
    let log = shop.run(&["logs"]).ok().stdout;
    assert!(
        log.contains("error: the rollout of deployment/web has failed"),
        "{log}"
    );

    let status = shop.json(&["status", "--json"]);
    assert_eq!(status[0]["rollout"]["state"], "failed");
    let status = shop.run(&["status"]).ok();
    assert!(status.stdout.contains("failed"), "{}", status.stdout);
    assert!(
        status
            .stderr
            .contains("web in prod: the rollout of deployment 2 has failed: "),
        "{}",
        status.stderr
    );
    let done = shop.run(&["release", "web", "--environment", "prod"]);
    assert_eq!(done.code, Some(96), "{}", done.stderr);
    assert!(
        done.stderr.contains("its rollout has failed"),
        "{}",
        done.stderr
    );

    // When it runs after all, that counts.
    kubelet.fate(&bad, Fate::Running(None));
    shop.watch(&bad, &[]).ok();
    assert_eq!(
        shop.json(&["status", "--json"])[0]["rollout"]["state"],
        "complete"
    );
}

#[test]
fn a_watch_that_is_interrupted_or_cannot_ask_says_nothing_of_the_rollout() {
    let test = "a_watch_that_is_interrupted_or_cannot_ask_says_nothing_of_the_rollout";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    let shop = Shop::new(&bed);
    let image = format!("{V2}@{OTHER}");
    kubelet.fate(&image, Fate::Pending);
    shop.deploy(&image);
    // Without `--environment` it is found by the workload, and named as the deployment is.
    let words = [
        "watch",
        "--workload",
        "web",
        "--image",
        &image,
        "--container",
        "api",
    ];
    assert_eq!(shop.run(&words).code, Some(85));
    let record = &shop.json(&["history", "--json", "--operation", "watch"])[0];
    assert_eq!(
        (&record["application"], &record["environment"]),
        (&json!("web"), &json!("prod"))
    );
    assert_eq!(record["state"], "error");
    assert_eq!(record["results"], Value::Null);
    assert_eq!(shop.json(&["status", "--json"])[0]["rollout"], Value::Null);
    // Another image than the deployment's is another matter.
    let done = shop.watch(V1, &["--timeout", "1s"]);
    assert_eq!(done.code, Some(93), "{}", done.stderr);
    let record = &shop.json(&["history", "--json", "--operation", "watch"])[0];
    assert_eq!(record["links"], Value::Null);
    assert_eq!(shop.json(&["status", "--json"])[0]["rollout"], Value::Null);
    let done = shop.watch(&image, &["--timeout", "1s"]);
    assert_eq!(done.code, Some(93), "{}", done.stderr);
    assert_eq!(
        shop.json(&["status", "--json"])[0]["rollout"]["state"],
        "late"
    );
}

#[test]
fn status_asks_the_cluster_what_runs_now_and_tells_in_what_it_differs() {
    let test = "status_asks_the_cluster_what_runs_now_and_tells_in_what_it_differs";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    let shop = Shop::new(&bed);
    let cluster = || shop.json(&["status", "--cluster", "--json"])[0]["cluster"].clone();
    // Nothing is on record: the project says what is to be asked.
    let now = cluster();
    assert_eq!(
        (&now["workload"], &now["image"]),
        (&json!("deployment/web"), &json!(V1))
    );
    assert_eq!(now["drift"], Value::Null);
    let image = format!("{V2}@{OTHER}");
    shop.deploy(&image);
    wait_for("the rollout", || {
        (cluster()["health"] == "ready").then_some(())
    });
    let now = cluster();
    assert_eq!(
        (&now["ready"], &now["desired"]),
        (&json!(1), &json!(1)),
        "{now}"
    );
    assert_eq!(now["digests"], json!([OTHER]));
    assert_eq!((&now["drift"], &now["why"]), (&Value::Null, &Value::Null));
    let table = shop.run(&["status", "--cluster"]).ok().stdout;
    assert!(table.contains("1/1") && table.contains("same"), "{table}");
    let before = shop.json(&["history", "--json"]);

    // Somebody else has put the old one back, which cannot be pulled any more.
    kubelet.fate(V1, Fate::ImagePullBackOff);
    bed.merge("apps/v1", "deployments", "web", &to(V1));
    wait_for("the trouble", || {
        let why = cluster()["why"].as_str().map(str::to_owned);
        why.is_some_and(|why| why.contains("cannot pull its image"))
            .then_some(())
    });
    let done = shop.run(&["status", "--cluster"]).ok();
    assert!(done.stdout.contains("differs"), "{}", done.stdout);
    let drift = format!("web in prod: it is to run `{V1}`, and on record is `{image}`");
    assert!(done.stderr.contains(&drift), "{}", done.stderr);

    bed.api().ok(
        "DELETE",
        &format!("{}/web", bed.path("apps/v1", "deployments")),
        &Value::Null,
    );
    let now = cluster();
    assert_eq!(now["health"], "absent");
    assert!(
        now["drift"]
            .as_str()
            .unwrap()
            .contains("there is no deployment/web"),
        "{now}"
    );
    assert_eq!(
        shop.json(&["history", "--json"]),
        before,
        "nothing of it is kept"
    );
}

#[test]
fn status_without_a_cluster_says_so() {
    let overcoat = Overcoat::new().with("KUBECONFIG", "/nonexistent/config");
    let root = overcoat.path().join("shop");
    std::fs::create_dir_all(&root).unwrap();
    let run = |arguments: &[&str]| -> Done {
        let mut command = overcoat.command(arguments);
        command
            .env_remove("OVERCOAT_ENVIRONMENT")
            .current_dir(&root);
        command.output().unwrap().into()
    };
    let file = root.join("overcoat.toml");
    std::fs::write(
        &file,
        "project = \"shop\"\n[applications.web]\n[environments.prod]\n",
    )
    .unwrap();
    let done = run(&["status", "--cluster"]).ok();
    assert!(
        done.stderr.contains("there is no workload to ask for"),
        "{}",
        done.stderr
    );
    assert_eq!(run(&["status", "--cluster", "--json"]).ok().stdout, "[]\n");
    let done = run(&["status", "--cluster", "--environment", "prod"]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(done.stdout.contains("unknown"), "{}", done.stdout);
    assert!(
        done.stderr.contains("no cluster is known"),
        "{}",
        done.stderr
    );
    let done = run(&["status", "--context", "k3d-dev"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
}

#[test]
fn what_was_never_deployed_differs_from_nothing_and_what_cannot_be_asked_is_unknown() {
    let test = "what_was_never_deployed_differs_from_nothing_and_what_cannot_be_asked_is_unknown";
    let Some(bed) = Bed::start(test) else { return };
    let shop = Shop::new(&bed);
    let row = |done: &Done| -> Vec<String> {
        let line = done.stdout.lines().find(|line| line.starts_with("web "));
        let words = line.unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect()
    };
    let done = shop.run(&["status", "--cluster"]).ok();
    let cells = row(&done);
    assert_eq!(cells[cells.len() - 2..], ["absent", "-"], "{}", done.stdout);
    assert!(!done.stderr.contains("there is no"), "{}", done.stderr);

    let stranger = bed.kubeconfig("k3d-test", "nobody-has-this-token");
    let asked = [
        "status",
        "--cluster",
        "--kubeconfig",
        stranger.to_str().unwrap(),
    ];
    let done = shop.run(&asked);
    let cells = row(&done);
    assert_eq!(
        cells[cells.len() - 2..],
        ["unknown", "-"],
        "{}",
        done.stdout
    );
    web(&bed, V1);
    shop.deploy(&format!("{V2}@{OTHER}"));
    let done = shop.run(&asked);
    assert_ne!(done.code, Some(0), "{}", done.stderr);
    let cells = row(&done);
    assert_eq!(
        cells[cells.len() - 2..],
        ["unknown", "unknown"],
        "{}",
        done.stdout
    );
}
