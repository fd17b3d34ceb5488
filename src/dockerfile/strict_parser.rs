//! A Dockerfile read as strictly as its reference allows: whatever a builder might read in another way is an error.

use std::collections::BTreeMap;

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// In capitals.
    pub(super) name: String,
    /// `--name=value` before the arguments.
    pub(super) flags: BTreeMap<String, String>,
    /// Words; of `LABEL` and `ENV` names and values in turn; of `RUN` and `CMD` the one text that a shell gets.
    pub(super) arguments: Vec<String>,
}

/// Reads a whole file.
///
/// # Spec
/// Dockerfile reference: *Format*, *Escape*, *Environment replacement*, and the form of each instruction here.
pub(super) fn parse(text: &str) -> Result<Vec<Instruction>, String> {
    let mut instructions = Vec::new();
    let mut lines = text
        .strip_suffix('\n')
        .ok_or("the last line has no end")?
        .split('\n');
    while let Some(first) = lines.next() {
        let mut line = first.to_owned();
        while let Some(part) = line.strip_suffix('\\') {
            let next = lines.next().ok_or("a line goes on and there is none")?;
            let rest = next
                .strip_prefix("    ")
                .ok_or(format!("not indented by 4: {next:?}"))?;
            if rest.starts_with([' ', '#']) || rest.is_empty() {
                return Err(format!("it may be a comment or nothing: {next:?}"));
            }
            line = format!("{part}{rest}");
        }
        instructions.push(instruction(&line)?);
    }
    let is_stage = |one: &Instruction| one.name == "FROM";
    match instructions.first() {
        Some(first) if is_stage(first) => Ok(instructions),
        _ => Err("it does not begin with FROM".to_owned()),
    }
}

fn instruction(line: &str) -> Result<Instruction, String> {
    let (name, mut rest) = line
        .split_once(' ')
        .ok_or(format!("no argument: {line:?}"))?;
    if rest.starts_with(' ') || rest.ends_with(' ') {
        return Err(format!("stray spaces: {line:?}"));
    }
    let mut flags = BTreeMap::new();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(' ').ok_or("only flags")?;
        let (flag, value) = flag.split_once('=').ok_or("a flag without value")?;
        if flags.insert(flag.to_owned(), value.to_owned()).is_some() {
            return Err(format!("twice: {flag}"));
        }
        rest = after;
    }
    let words = || rest.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (allowed, arguments): (&[&str], _) = match name {
        "FROM" => (&[], words()),
        "USER" => (&[], words()),
        "RUN" | "CMD" => (&[], vec![rest.to_owned()]),
        "LABEL" | "ENV" => (&[], pairs(rest)?),
        "COPY" if rest.starts_with('[') => {
            let list = serde_json::from_str(rest).map_err(|error| error.to_string())?;
            (&["chown", "from"], list)
        }
        "COPY" => (&["chown", "from"], words()),
        _ => return Err(format!("unknown instruction: {name}")),
    };
    if let Some(flag) = flags.keys().find(|flag| !allowed.contains(&flag.as_str())) {
        return Err(format!("{name} has no --{flag}"));
    }
    let is_right = match (name, arguments.len()) {
        ("FROM", count) => count == 1 || (count == 3 && arguments[1] == "as"),
        ("USER" | "RUN" | "CMD", count) => count == 1,
        ("COPY", count) => count == 2,
        (_, count) => count > 0,
    };
    let expands = |word: &String| word.contains(['$', '"', '\'', '\\', '*', '?', '[']);
    if !is_right || (matches!(name, "FROM" | "USER" | "COPY") && arguments.iter().any(expands)) {
        return Err(format!("not in the form of {name}: {line:?}"));
    }
    Ok(Instruction {
        name: name.to_owned(),
        flags,
        arguments,
    })
}

/// `name="value"` or `"name"="value"`, one space between two.
fn pairs(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let name = match rest.strip_prefix('"') {
            Some(after) => {
                let (name, after) = quoted(after)?;
                rest = after.strip_prefix('=').ok_or("no `=`")?;
                name
            }
            None => {
                let (name, after) = rest.split_once('=').ok_or(format!("no `=`: {rest:?}"))?;
                rest = after;
                let is_plain =
                    |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
                if name.is_empty() || !name.chars().all(is_plain) {
                    return Err(format!("a name that needs quotes: {name:?}"));
                }
                name.to_owned()
            }
        };
        let after = rest
            .strip_prefix('"')
            .ok_or(format!("no quotes: {rest:?}"))?;
        let (value, after) = quoted(after)?;
        found.extend([name, value]);
        match after.strip_prefix(' ') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(found),
            None => return Err(format!("no space: {after:?}")),
        }
    }
}

/// What is up to the closing quotes, and what follows them.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, escaped @ ('$' | '"' | '\\'))) => value.push(escaped),
                other => return Err(format!("`\\` before {other:?}")),
            },
            '$' => return Err("a variable".to_owned()),
            letter => value.push(letter),
        }
    }
    Err("no closing quotes".to_owned())
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let rows = [
        "RUN x\n",
        "FROM a",
        "FROM a b\n",
        "FROM a\nENV A=b\n",
        "FROM a\nENV A=\"$b\"\n",
        "FROM a\nENV A=\"b\\c\"\n",
        "FROM a\nENV A=\"b\"C=\"d\"\n",
        "FROM a\nENV A=\"b\" \\\n  C=\"d\"\n",
        "FROM a\nENV A=\"b\" \\\n    #C=\"d\"\n",
        "FROM a\nCOPY --chmod=1 a b\n",
        "FROM a\nCOPY a b c\n",
        "FROM a\nCOPY a* b\n",
        "FROM a\n\nUSER b\n",
        "FROM a\nUSER b c\n",
        "FROM a\nEXPOSE 1\n",
    ];
    for text in rows {
        assert!(parse(text).is_err(), "{text:?}");
    }
    let good = "FROM a as b\nLABEL \"c d\"=\"e\\\"\"\nCOPY --chown=1:0 [\"f g\", \"/h\"]\n";
    assert_eq!(parse(good).unwrap().len(), 3);
}
