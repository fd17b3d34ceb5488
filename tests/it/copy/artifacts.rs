//! Artifacts and referrers.

use super::*;

#[test]
fn an_artifact_with_an_empty_configuration_goes_wherever_images_go() {
    let bench = bench();
    let host = bench.registry.host();
    let chart = artifact(host, "team/chart", "application/x.chart", "a chart", None);
    let kind = chart.descriptor.media_type.clone();
    let (status, head, _) = http(host, "PUT /v2/team/chart/manifests/1", &kind, &chart.bytes);
    assert_eq!(status, 201, "{head}");
    let far = Registry::start();
    let layout = format!("oci:{}:chart", bench.path("charts"));
    let archive = format!("oci-archive:{}", bench.path("chart.tar"));
    let (from, to) = (
        format!("{host}/team/chart:1"),
        format!("{}/far/chart:1", far.host()),
    );
    for hop in [&from, &layout, &archive, &"store:chart:1".to_owned(), &to].windows(2) {
        let done = bench.copy(hop[0], hop[1], &[]);
        assert_eq!(
            done["digest"],
            chart.descriptor.digest.to_string(),
            "{hop:?}"
        );
    }
    assert_eq!(
        skopeo_raw(&format!("docker://{to}")).as_bytes(),
        chart.bytes
    );
    let shown = bench.overcoat.run(&["inspect", "--remote", &to]).ok();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["artifact_type"], "application/x.chart");
    assert_eq!(shown["annotations"]["test.text"], "a chart");
    // It lives in the store like an image: garbage collection neither fails over it nor takes it away.
    bench.overcoat.run(&["gc", "--all"]).ok();
    bench.copy("store:chart:1", &format!("{}/far/chart:2", far.host()), &[]);
    // Docker's archives hold images.
    let docker = format!("docker-archive:{}", bench.path("chart-docker.tar"));
    let refused = bench.overcoat.run(&["copy", &to, &docker]);
    assert_eq!(refused.code, Some(33), "{}", refused.stderr);
    assert!(!Path::new(&bench.path("chart-docker.tar")).exists());
}

#[test]
fn referrers_are_found_and_copied_where_the_registry_has_no_api_for_them() {
    let bench = bench();
    let host = bench.registry.host();
    let client = client();
    let reference: Reference = bench.name.parse().unwrap();
    let image = client.document(&reference, &Silent).unwrap().descriptor;
    let bill = artifact(host, "team/app", "application/x.bill", "bill", Some(&image));
    let signature = artifact(
        host,
        "team/app",
        "application/x.signature",
        "signed",
        Some(&image),
    );
    // A signature of the bill: a referrer of a referrer.
    let second = artifact(
        host,
        "team/app",
        "application/x.signature",
        "again",
        Some(&bill.descriptor),
    );
    for document in [&bill, &signature, &second, &bill] {
        client.put_document(&reference, document, &Silent).unwrap();
    }
    let list = |name: &str, more: &[&str]| -> Vec<(String, String)> {
        let usual = ["referrers", name, "--format", "json"];
        let done = bench.overcoat.run(&[&usual[..], more].concat()).ok();
        let list: Value = serde_json::from_str(&done.stdout).unwrap();
        let entries = list["referrers"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        entries
            .map(|entry| {
                let written = text(&entry["annotations"]["test.text"]);
                (text(&entry["digest"]), written)
            })
            .collect()
    };
    let row = |document: &Document, written: &str| {
        (document.descriptor.digest.to_string(), written.to_owned())
    };
    // Each once, however often it was put.
    assert_eq!(
        list(&bench.name, &[]),
        [row(&bill, "bill"), row(&signature, "signed")]
    );
    let signatures = ["--artifact-type", "application/x.signature"];
    assert_eq!(list(&bench.name, &signatures), [row(&signature, "signed")]);
    let table = bench.overcoat.run(&["referrers", &bench.name]).ok().stdout;
    assert_eq!(
        table.lines().next().unwrap(),
        format!("{}  application/x.bill", bill.descriptor.digest)
    );

    let far = Registry::start();
    let to = format!("{}/far/app:1", far.host());
    let without = bench.copy(&bench.name, &to, &[]);
    assert_eq!(without["referrers"], 0);
    assert_eq!(list(&to, &[]), []);
    let with = bench.copy(&bench.name, &to, &["--referrers"]);
    assert_eq!(
        (&with["referrers"], &with["documents"]),
        (&json!(3), &json!(4))
    );
    assert_eq!(list(&to, &[]), list(&bench.name, &[]));
    let of_bill =
        |host: &str, repository: &str| format!("{host}/{repository}@{}", bill.descriptor.digest);
    assert_eq!(
        list(&of_bill(far.host(), "far/app"), &[]),
        [row(&second, "again")]
    );
    // The list itself is an index that anybody can read.
    let tag = referrers_tag(&image.digest);
    let raw = skopeo_raw(&format!("docker://{}/far/app:{tag}", far.host()));
    let written: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(written["mediaType"], media_type::OCI_INDEX);
    assert_eq!(
        written["manifests"][0]["artifactType"],
        "application/x.bill"
    );
    // Again: nothing is sent, nothing is listed twice.
    let before = far.requests().len();
    let again = bench.copy(&bench.name, &to, &["--referrers"]);
    assert_eq!(again["copied_blobs"], 0);
    let requests = far.requests().split_off(before);
    assert!(
        requests.iter().all(|line| !line.starts_with("PUT")),
        "{requests:?}"
    );
    assert_eq!(list(&to, &[]), list(&bench.name, &[]));

    // A referrer that is deleted is not listed any more.
    let gone = format!("{}/far/app@{}", far.host(), signature.descriptor.digest);
    bench.overcoat.run(&["delete", &gone]).ok();
    assert_eq!(list(&to, &[]), [row(&bill, "bill")]);
    assert_eq!(
        bench.copy(&bench.name, &to, &["--referrers"])["copied_blobs"],
        0
    );
    assert_eq!(list(&to, &[]).len(), 2);

    // Through a layout, an archive and the store into a third registry.
    let third = Registry::start();
    let end = format!("{}/third/app:1", third.host());
    let layout = format!("oci:{}:app", bench.path("referred"));
    let archive = format!("oci-archive:{}", bench.path("referred.tar"));
    let stored = "store:app:1".to_owned();
    for hop in [&to, &layout, &archive, &stored, &end].windows(2) {
        let done = bench.copy(hop[0], hop[1], &["--referrers"]);
        assert_eq!(done["referrers"], 3, "{hop:?}");
        assert_eq!(done["digest"], image.digest.to_string(), "{hop:?}");
    }
    let sorted = |mut list: Vec<(String, String)>| {
        list.sort();
        list
    };
    assert_eq!(sorted(list(&end, &[])), sorted(list(&bench.name, &[])));
    assert_eq!(
        list(&of_bill(third.host(), "third/app"), &[]),
        [row(&second, "again")]
    );
}
