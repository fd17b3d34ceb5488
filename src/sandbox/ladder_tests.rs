//! Which rung is taken, by table.

use super::*;

fn refusal(code: IsoCode) -> Refusal {
    Refusal {
        code,
        cause: "it is refused".to_owned(),
        remedy: "allow it".to_owned(),
        call: "unshare(CLONE_NEWUSER): EPERM".to_owned(),
    }
}

fn details() -> Details {
    Details {
        fresh_proc: Ok(()),
        overlay: Ok(()),
        network_namespace: Ok(()),
        cgroup_namespace: Ok(()),
        ledger: Ok(()),
        notes: Vec::new(),
    }
}

/// A verdict for each rung: those in `working` work, the others are refused: the two of `userns` as they would be for
/// root (the first is not meant for it).
fn verdicts(working: &[Rung]) -> Vec<Verdict> {
    let outcome = |rung: Rung| match (working.contains(&rung), rung) {
        (true, _) => Ok(details()),
        (false, Rung::UsernsHelper) => Err(refusal(IsoCode::Iso16)),
        (false, Rung::Chroot) => Err(refusal(IsoCode::Iso14)),
        (false, _) => Err(refusal(IsoCode::Iso01)),
    };
    Rung::ALL
        .into_iter()
        .map(|rung| Verdict {
            rung,
            outcome: outcome(rung),
        })
        .collect()
}

#[test]
fn the_strongest_that_works_is_taken_but_never_in_place_unasked() {
    use Isolation as I;
    use Rung as R;
    let all = &Rung::ALL[..];
    let table: [(&[Rung], Isolation, Option<Isolation>, Rung); 13] = [
        (all, I::Auto, None, R::UsernsHelper),
        (&all[1..], I::Auto, None, R::UsernsDirect),
        (&all[2..], I::Auto, None, R::SingleId),
        (&all[3..], I::Auto, None, R::Root),
        (&all[4..], I::Auto, None, R::Chroot),
        (all, I::Userns, None, R::UsernsHelper),
        (&all[1..], I::Userns, Some(I::Userns), R::UsernsDirect),
        (all, I::SingleId, None, R::SingleId),
        (all, I::Root, Some(I::Chroot), R::Root),
        (all, I::Chroot, Some(I::Chroot), R::Chroot),
        (&all[5..], I::InPlace, Some(I::InPlace), R::InPlace),
        (all, I::Auto, Some(I::InPlace), R::UsernsHelper),
        (&all[4..], I::Auto, Some(I::None), R::Chroot),
    ];
    for (working, wanted, required, expected) in table {
        let chosen = choose(&verdicts(working), wanted, required);
        let chosen = chosen.unwrap_or_else(|error| panic!("{wanted} {required:?}: {error}"));
        assert_eq!(chosen.rung, expected, "{working:?} {wanted} {required:?}");
    }
}

#[test]
fn what_was_passed_over_is_told_strongest_first() {
    let mut verdicts = verdicts(&[Rung::Root, Rung::Chroot]);
    verdicts.reverse();
    let chosen = choose(&verdicts, Isolation::Auto, None).unwrap();
    let rungs: Vec<_> = chosen
        .passed_over
        .iter()
        .map(|(rung, refusal)| (*rung, refusal.code))
        .collect();
    let expected = [
        (Rung::UsernsHelper, IsoCode::Iso16),
        (Rung::UsernsDirect, IsoCode::Iso01),
        (Rung::SingleId, IsoCode::Iso01),
    ];
    assert_eq!(rungs, expected);
    assert!(chosen.warning().is_some());
}

#[test]
fn refusals_say_what_why_and_what_would_work() {
    use Isolation as I;
    type Row<'a> = (&'a [Rung], Isolation, Option<Isolation>, &'a str, &'a str);
    let table: [Row<'_>; 8] = [
        (
            &[Rung::Chroot],
            I::Auto,
            Some(I::Userns),
            "ISO16 `--require-isolation=userns` is not met: the best available is `chroot` because ISO01 it is refused \
             (unshare(CLONE_NEWUSER): EPERM). Nothing was built",
            "allow it",
        ),
        (
            &[Rung::InPlace],
            I::Auto,
            Some(I::Chroot),
            "ISO16 `--require-isolation=chroot` is not met: nothing is available because ISO14 it is refused \
             (unshare(CLONE_NEWUSER): EPERM). Nothing was built",
            "allow it",
        ),
        (
            &[Rung::SingleId, Rung::Root],
            I::Userns,
            None,
            "ISO16 `--isolation=userns` cannot be had here: ISO01 it is refused (unshare(CLONE_NEWUSER): EPERM)",
            "allow it; `--isolation=single-id` works here",
        ),
        (
            &[Rung::InPlace],
            I::Chroot,
            None,
            "ISO16 `--isolation=chroot` cannot be had here: ISO14 it is refused (unshare(CLONE_NEWUSER): EPERM)",
            "allow it",
        ),
        (
            &Rung::ALL,
            I::Chroot,
            Some(I::Userns),
            "ISO16 `--isolation=chroot` is weaker than `--require-isolation=userns`",
            "leave one of the two flags out",
        ),
        (
            &[Rung::InPlace],
            I::Auto,
            None,
            "nothing can be executed here: no kind of isolation works",
            "`overcoat doctor` says what would enable each; if this container was started from the builder image, \
             `--isolation=in-place` runs the scripts in it, and changes it; `--strategy direct` works everywhere: it \
             executes nothing",
        ),
        (
            &[],
            I::Auto,
            None,
            "nothing can be executed here: no kind of isolation works",
            "`overcoat doctor` says what would enable each; `--strategy direct` works everywhere: it executes nothing",
        ),
        (
            &Rung::ALL,
            I::None,
            None,
            "`--isolation=none` allows nothing to be executed, and this build has to execute something",
            "`--strategy direct` works everywhere: it executes nothing",
        ),
    ];
    for (working, wanted, required, text, hints) in table {
        let error = choose(&verdicts(working), wanted, required).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(error.hints().join("; "), hints, "{text}");
    }
}

#[test]
fn a_rung_that_was_not_tried_is_not_taken() {
    let only_root = verdicts(&Rung::ALL).split_off(3);
    assert_eq!(
        choose(&only_root, Isolation::Auto, None).unwrap().rung,
        Rung::Root
    );
    let error = choose(&only_root, Isolation::Userns, None).unwrap_err();
    assert!(
        error.to_string().contains("`userns` was not tried"),
        "{error}"
    );
}

#[test]
fn the_table_names_every_rung_with_its_reason() {
    let lines = table(&verdicts(&[Rung::Chroot]));
    assert_eq!(lines.len(), 6);
    assert_eq!(
        lines[2],
        "single-id      ISO01 it is refused (unshare(CLONE_NEWUSER): EPERM)"
    );
    assert_eq!(lines[4], "chroot         works");
    let error = choose(&verdicts(&[]), Isolation::Auto, None).unwrap_err();
    assert_eq!(error.table().len(), 6);
}

#[test]
fn names_are_read_as_they_are_written() {
    for isolation in Isolation::ALL {
        assert_eq!(isolation.name().parse(), Ok(isolation));
    }
    for rung in Rung::ALL {
        assert!(rung.isolation().rungs().contains(&rung));
        assert_eq!(serde_json::to_value(rung).unwrap(), rung.name());
    }
    assert_eq!(
        "Userns".parse::<Isolation>().unwrap_err(),
        UnknownIsolation("Userns".to_owned())
    );
    for code in IsoCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.to_string());
    }
    assert_eq!(IsoCode::Iso16.to_string(), "ISO16");
}

#[test]
fn a_store_that_cannot_be_written_stops_everything() {
    let full: Vec<_> = Rung::ALL
        .into_iter()
        .map(|rung| Verdict {
            rung,
            outcome: Err(refusal(IsoCode::Iso13)),
        })
        .collect();
    let error = choose(&full, Isolation::Auto, Some(Isolation::Userns)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nothing can be built here: ISO13 it is refused (unshare(CLONE_NEWUSER): EPERM)"
    );
    // Not even without executing something, so that is not advised.
    assert_eq!(error.hints(), ["allow it"]);
}
