use super::*;

fn auto_trigger(log: &str) -> Said {
    ReadyCheck::count(AUTO_TRIGGER)
        .unwrap()
        .read(log.as_bytes())
}

#[test]
fn the_auto_trigger_passes_only_when_all_messages_were_sent() {
    for log in [
        "starting\n🚀 Auto-trigger complete — 5/5 messages sent\n",
        "Auto-trigger complete - 5/5",
        "Auto-trigger complete–12/12 messages sent",
        "Auto-trigger complete  —  05/5\r\nmore",
    ] {
        assert!(matches!(auto_trigger(log), Said::Yes { .. }), "{log}");
    }
    for log in [
        "Auto-trigger complete — 4/5 messages sent",
        "Auto-trigger complete — 5/50",
        "Auto-trigger complete — 0/0 messages sent",
        // The first that decides does.
        "Auto-trigger complete — 0/5 messages sent\nAuto-trigger complete — 5/5 messages sent",
    ] {
        let Said::No { lines, .. } = auto_trigger(log) else {
            panic!("{log}");
        };
        assert!(lines[0].starts_with("Auto-trigger complete"), "{lines:?}");
    }
    for log in [
        "",
        "Auto-trigger begins — 5/5",
        "Auto-trigger complete: 5 of 5",
        "Auto-trigger complete — five/5",
    ] {
        assert_eq!(auto_trigger(log), Said::Nothing, "{log}");
    }
}

#[test]
fn a_traceback_before_it_is_a_failure_that_is_told_with_its_last_line() {
    let log = "up\nTraceback (most recent call last):\n  File \"app.py\", line 3, in on_trigger\n    1/0\n\
               ZeroDivisionError: division by zero\nAuto-trigger complete — 5/5 messages sent\n";
    let Said::No { why, lines } = auto_trigger(log) else {
        panic!("it passed");
    };
    assert_eq!(why, "an exception was not handled");
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3], "ZeroDivisionError: division by zero");
    // Applications that handle their exceptions print them too: of any line that was asked for, nothing is assumed.
    let check = ReadyCheck::line("complete").unwrap();
    assert!(matches!(check.read(log.as_bytes()), Said::Yes { .. }));
}

#[test]
fn any_line_can_be_asked_for_and_patterns_that_cannot_work_are_refused() {
    let check = ReadyCheck::line(r"^listening on :\d+$").unwrap();
    assert_eq!(
        check.read(b"x\nlistening on :8000\n"),
        Said::Yes {
            line: "listening on :8000".to_owned()
        }
    );
    assert_eq!(check.read(b"not listening on :8000\n"), Said::Nothing);
    let error = ReadyCheck::line("(").unwrap_err().to_string();
    assert!(
        error.contains("`(` is not a regular expression: unclosed group"),
        "{error}"
    );
    let error = ReadyCheck::count(r"(\d+) sent").unwrap_err().to_string();
    assert!(error.contains("has 1 groups, not two"), "{error}");
}

#[test]
fn bytes_that_are_no_text_and_endless_lines_are_read_all_the_same() {
    let mut log = b"\xff\xfe".to_vec();
    log.extend("é".repeat(1 << 20).as_bytes());
    log.extend(b"\nready\x1b[2J\n");
    let check = ReadyCheck::line("ready").unwrap();
    assert_eq!(
        check.read(&log),
        Said::Yes {
            line: "ready\u{fffd}[2J".to_owned()
        }
    );
    assert_eq!(
        ReadyCheck::line(r"\w{99999}").map(|_| ()).map_err(|_| ()),
        Err(())
    );
}
