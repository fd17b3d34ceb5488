use super::super::tests::build_args;
use super::*;

fn stored(text: &str) -> Stored {
    serde_json::from_str(text).unwrap()
}

fn line(text: &str, typed: &[&str]) -> Result<Vec<String>, Diagnostic> {
    let (args, matches) = build_args(typed);
    let mut all = arguments(&stored(text), &matches, &args.positionals, Path::new(FILE))?;
    assert_eq!(all[..3], ["s2i", "build", "--use-config=true"]);
    Ok(all.split_off(3))
}

#[test]
fn what_was_typed_wins_and_a_typed_list_replaces_the_whole_list() {
    let file = r#"{"source":"/src#b","builderImage":"builder","tag":"app:1","flags":{
        "env-0":"A=1","env-1":"B=2","copy":"true","description":"old","loglevel":"5","url":"unix:///x"}}"#;
    let all = [
        "--copy=true",
        "--description=old",
        "--env=A=1",
        "--env=B=2",
        "--",
        "/src#b",
        "builder",
        "app:1",
    ];
    assert_eq!(line(file, &["--use-config"]).unwrap(), all);
    assert_eq!(
        line(file, &["--use-config", "only-one"]).unwrap()[5..],
        all[5..]
    );
    let typed = ["--use-config", "-e", "C=3", "--description=new", "x", "y"];
    let expected = [
        "--copy=true",
        "--description=new",
        "--env=C=3",
        "--",
        "x",
        "y",
    ];
    assert_eq!(line(file, &typed).unwrap(), expected);
}

#[test]
fn a_flag_that_there_is_not_is_named() {
    for name in ["no-such-flag", "help", "creds", "env-x"] {
        let error = line(&format!(r#"{{"flags":{{"{name}":"1"}}}}"#), &[]).unwrap_err();
        assert!(error.what.contains(&format!("`{name}`")), "{error}");
    }
    assert!(serde_json::from_str::<Stored>(r#"{"flags":{"env":5}}"#).is_err());
}

/// Case M34: lists are lists, however often the file is used; those in s2i's brackets become lists.
#[test]
fn lists_stay_what_they_are() {
    let (args, matches) = build_args(&[
        "-v",
        "/a:/b:ro",
        "-v",
        "/c:/d",
        "--cap-drop=CHOWN,KILL",
        "--env=A=1,2",
        "-q",
        "s",
        "b",
    ]);
    let first = merged(Stored::default(), &args, &matches).unwrap();
    let text = serde_json::to_string(&first).unwrap();
    assert!(text.contains(r#""volume":["/a:/b:ro","/c:/d"]"#), "{text}");
    assert!(text.contains(r#""cap-drop":["CHOWN,KILL"]"#), "{text}");
    assert!(text.contains(r#""env":["A=1,2"]"#), "{text}");
    assert!(text.contains(r#""quiet":"true""#), "{text}");
    let (_, nothing) = build_args(&["--use-config"]);
    let mut again = first.clone();
    for _ in 0..3 {
        let line = arguments(&again, &nothing, &[], Path::new(FILE)).unwrap();
        let line: Vec<&str> = line.iter().skip(2).map(String::as_str).collect();
        let (args, _) = build_args(&line);
        again = merged(again, &args, &nothing).unwrap();
        assert_eq!(again, first);
    }
    let old = stored(
        r#"{"source":"s","builderImage":"b","flags":{"volume":"[[[/a:/b,/c:/d]]]","env-0":"A=[x]"}}"#,
    );
    let line = arguments(&old, &nothing, &[], Path::new(FILE)).unwrap();
    assert_eq!(
        line[3..6],
        ["--env=A=[x]", "--volume=/a:/b", "--volume=/c:/d"]
    );
    let saved = merged(old, &args, &nothing).unwrap();
    assert_eq!(
        saved.flags["volume"],
        Value::List(vec!["/a:/b".to_owned(), "/c:/d".to_owned()])
    );
    assert_eq!(saved.flags["env"], Value::List(vec!["A=[x]".to_owned()]));
}
