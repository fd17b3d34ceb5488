//! Metadata and wheels.

use super::*;

#[test]
fn metadata_is_read_from_where_it_is_nearest() {
    let bytes = wheel_bytes(200_000);
    let text = b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\nRequires-Dist: c\n\n".to_vec();
    let (served, beside) = (bytes.clone(), text.clone());
    let (base, log) = serve(move |request, _| match request.path.as_str() {
        "/files/a-1.0-py3-none-any.whl" => Answer::file(request, &served),
        "/files/a-1.0-py3-none-any.whl.metadata" => Answer::new(200, "text/plain", beside.clone()),
        _ => Answer::status(404),
    });
    let wheel = remote(&base, &bytes);
    let required = |bench: &Bench, wheel: &RemoteWheel, offered: CoreMetadata| {
        let index = bench.index(Refresh::WhenStale);
        index
            .metadata_of(wheel, &offered, &Silent)
            .map(|metadata| metadata.requires_dist[0].to_string())
    };
    // The file beside the wheel, with its digest, once.
    let bench = Bench::new(&base);
    for _ in 0..2 {
        let offered = CoreMetadata::Promised(Digest::of(&text));
        assert_eq!(required(&bench, &wheel, offered).unwrap(), "c");
    }
    assert_eq!(log.lock().unwrap().len(), 1);
    let offered = CoreMetadata::Promised(Digest::of(b"other"));
    let error = required(&Bench::new(&base), &wheel, offered).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a-1.0-py3-none-any.whl.metadata"),
        "{error}"
    );
    // The end of the wheel, in one request, whether its size is known or not.
    for size in [wheel.size, None] {
        let bench = Bench::new(&base);
        log.lock().unwrap().clear();
        let wheel = RemoteWheel {
            size,
            ..wheel.clone()
        };
        for _ in 0..2 {
            assert_eq!(
                required(&bench, &wheel, CoreMetadata::NotOffered).unwrap(),
                "b>=2"
            );
        }
        let log = log.lock().unwrap();
        assert_eq!(log.len(), 1);
        let first = wheel.size.map_or("bytes=-131072".to_owned(), |size| {
            format!("bytes={}-", size - 32768)
        });
        assert_eq!(log[0].get("range").unwrap(), first);
    }
    // The wheel itself, once it is here.
    let bench = Bench::new(&base);
    bench.fetch(&wheel).unwrap();
    log.lock().unwrap().clear();
    assert_eq!(
        required(&bench, &wheel, CoreMetadata::Offered).unwrap(),
        "b>=2"
    );
    assert_eq!(log.lock().unwrap().len(), 0);
}

#[test]
fn a_server_without_ranges_gives_the_whole_wheel() {
    for padding in [1000, 2 << 20] {
        let bytes = wheel_bytes(padding);
        let served = bytes.clone();
        let (base, log) = serve(move |_, _| Answer::new(200, "application/zip", served.clone()));
        let bench = Bench::new(&base);
        let index = bench.index(Refresh::WhenStale);
        let wheel = remote(&base, &bytes);
        let metadata = index
            .metadata_of(&wheel, &CoreMetadata::NotOffered, &Silent)
            .unwrap();
        assert_eq!(metadata.requires_dist[0].to_string(), "b>=2");
        // A small one is in the first answer; a large one is fetched. Either is there then.
        assert_eq!(
            log.lock().unwrap().len(),
            if padding == 1000 { 1 } else { 2 }
        );
        assert!(index.cached(&wheel).unwrap().is_some());
        // What is not the promised wheel is not kept.
        let other = RemoteWheel {
            digest: Some(Digest::of(b"other")),
            ..wheel
        };
        let bench = Bench::new(&base);
        let index = bench.index(Refresh::WhenStale);
        let _ = index.metadata_of(&other, &CoreMetadata::NotOffered, &Silent);
        assert!(index.cached(&other).unwrap().is_none());
    }
}

#[test]
fn metadata_of_another_package_is_refused() {
    let bytes = wheel_bytes(10);
    let (base, _) = serve(|_, _| Answer::new(200, "text/plain", "Name: b\nVersion: 1.0\n"));
    let bench = Bench::new(&base);
    let error = bench
        .index(Refresh::WhenStale)
        .metadata_of(&remote(&base, &bytes), &CoreMetadata::Offered, &Silent)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the metadata of `a-1.0-py3-none-any.whl` cannot be used: it is of `b 1.0`"
    );
}

#[test]
fn a_download_that_breaks_is_continued() {
    let bytes = wheel_bytes(3_000_000);
    let served = bytes.clone();
    let (base, log) = serve(move |request, number| {
        let answer = Answer::file(request, &served);
        let cut = (number < 2).then_some(1_000_000);
        Answer { cut, ..answer }
    });
    let bench = Bench::new(&base);
    let wheel = remote(&base, &bytes);
    for _ in 0..2 {
        let local = bench.fetch(&wheel).unwrap();
        assert_eq!(std::fs::read(&local.path).unwrap(), bytes);
        assert_eq!(
            (local.digest, local.size),
            (Digest::of(&bytes), bytes.len() as u64)
        );
        assert!(
            local
                .path
                .ends_with(format!("wheels/sha256/{}", Digest::of(&bytes).hex()))
        );
    }
    let log = log.lock().unwrap();
    let ranges: Vec<Option<&str>> = log.iter().map(|request| request.get("range")).collect();
    assert_eq!(
        ranges,
        [None, Some("bytes=1000000-"), Some("bytes=2000000-")]
    );
    // Nothing else is left.
    let left = crate::fs::list(&bench.directory.path().join("wheels/tmp")).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_wheel_that_is_not_what_was_promised_is_refused_by_name() {
    let bytes = wheel_bytes(1000);
    let served = bytes.clone();
    let (base, _) = serve(move |request, _| Answer::file(request, &served));
    let bench = Bench::new(&base);
    let right = remote(&base, &bytes);
    let longer = RemoteWheel {
        size: Some(bytes.len() as u64 + 1),
        ..right.clone()
    };
    let shorter = RemoteWheel {
        size: Some(bytes.len() as u64 - 1),
        ..right.clone()
    };
    let other = RemoteWheel {
        digest: Some(Digest::of(b"other")),
        ..right.clone()
    };
    for (wheel, text) in [
        (&longer, "`a-1.0-py3-none-any.whl` from"),
        (&shorter, "has more than"),
        (&other, "`a-1.0-py3-none-any.whl` from"),
    ] {
        let error = bench.fetch(wheel).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    assert!(!bench.directory.path().join("wheels/sha256").exists());
    // Nobody promised anything: it is fetched, and named by what it is.
    let unknown = RemoteWheel {
        digest: None,
        size: None,
        ..right
    };
    assert_eq!(bench.fetch(&unknown).unwrap().digest, Digest::of(&bytes));
}

#[test]
fn a_wheel_of_a_directory_stays_there_and_is_checked() {
    let bytes = wheel_bytes(1000);
    let bench = Bench::new("https://index.example");
    let path = bench.directory.path().join("a-1.0-py3-none-any.whl");
    std::fs::write(&path, &bytes).unwrap();
    let mut wheel = remote("https://index.example", &bytes);
    wheel.url = format!("file://{}", path.display());
    assert_eq!(bench.fetch(&wheel).unwrap().path, path);
    let index = bench.index(Refresh::WhenStale);
    let metadata = index.metadata_of(&wheel, &CoreMetadata::NotOffered, &Silent);
    assert_eq!(metadata.unwrap().name, name("a"));
    wheel.digest = Some(Digest::of(b"other"));
    assert!(matches!(bench.fetch(&wheel), Err(Error::Digest { .. })));
}

#[test]
fn several_wheels_come_in_order_and_the_first_failure_ends_the_others() {
    let (base, _) = serve(|request, _| match request.path.contains("bad") {
        true => Answer::status(404),
        false => Answer::new(200, "x", request.path.clone()),
    });
    let bench = Bench::new(&base);
    let wheel = |path: &str| RemoteWheel {
        name: "a-1.0-py3-none-any.whl".parse().unwrap(),
        url: format!("{base}/{path}"),
        digest: Some(Digest::of(format!("/{path}").as_bytes())),
        size: None,
    };
    let wheels: Vec<RemoteWheel> = (0..30).map(|n| wheel(&n.to_string())).collect();
    let index = bench.index(Refresh::WhenStale);
    let fetched = index.fetch(&wheels, &Silent).unwrap();
    for (number, local) in fetched.iter().enumerate() {
        assert_eq!(
            std::fs::read_to_string(&local.path).unwrap(),
            format!("/{number}")
        );
    }
    let error = index
        .fetch(&[wheel("30"), wheel("bad"), wheel("31")], &Silent)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/bad` was answered with status 404"),
        "{error}"
    );
}

#[test]
fn somebody_who_asks_to_stop_is_heard() {
    struct Stop;
    impl Observer for Stop {
        fn observe(&self, _event: crate::event::Event) {}
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let (base, _) = serve(|_, _| Answer::html(PAGE));
    let bench = Bench::new(&base);
    let index = bench.index(Refresh::WhenStale);
    assert!(matches!(
        index.project(&name("a"), &Stop),
        Err(Error::Interrupted)
    ));
    assert!(matches!(
        index.fetch(&[remote(&base, b"x")], &Stop),
        Err(Error::Interrupted)
    ));
}
