//! The functions that Hopr calls in Section 1, and what may not be done in them.
//!
//! # Spec
//! `path-to-production.md` §3.2.

use super::python::{Function, Module, Token};
use super::sections::Place;

/// Each function that Hopr knows, with its parameters.
pub const SIGNATURES: [(&str, &[&str]); 5] = [
    ("on_trigger", &["payload", "headers"]),
    ("on_receive_relay", &["payload"]),
    ("on_receive_fan_out", &["payload"]),
    ("on_aggregate", &["partials"]),
    ("on_receive_terminator", &["payload"]),
];

/// What stops the event loop that the functions run in, and what does it instead.
const BLOCKING: [(&str, &str); 9] = [
    (
        "time.sleep",
        "`await asyncio.sleep(…)` in an async function",
    ),
    ("requests.", "`httpx.AsyncClient` or `aiohttp`"),
    ("urllib.request.urlopen", "`httpx.AsyncClient` or `aiohttp`"),
    ("subprocess.run", "`asyncio.create_subprocess_exec`"),
    ("subprocess.call", "`asyncio.create_subprocess_exec`"),
    ("subprocess.check_call", "`asyncio.create_subprocess_exec`"),
    (
        "subprocess.check_output",
        "`asyncio.create_subprocess_exec`",
    ),
    ("os.system", "`asyncio.create_subprocess_shell`"),
    ("input", "the payload, for nobody types there"),
];

/// Something found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The line, from 1.
    pub line: usize,
    /// What it is.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The names of Hopr's functions that a module defines within Section 1, sorted: what kind of pod it is.
pub fn defined(module: &Module, section1: Place) -> Vec<String> {
    let functions = module.functions().into_iter();
    let inside =
        functions.filter(|function| is_inside(function, section1) && is_known(&function.name));
    let mut names: Vec<String> = inside.map(|function| function.name).collect();
    names.sort();
    names.dedup();
    names
}

/// What is wrong with the functions: one that the rest of the module calls and that is not there, one with other parameters,
/// one that is defined twice, none at all.
pub fn mistakes(module: &Module, section1: Place) -> Vec<Found> {
    let functions = module.functions();
    let mut found = Vec::new();
    for (name, wanted) in SIGNATURES {
        let shown = format!("{name}({})", wanted.join(", "));
        let named = |function: &&Function| function.name == name;
        let mut defined = functions.iter().filter(named);
        match defined.next() {
            None => {
                if let Some(line) = called_from_outside(module, section1, name) {
                    found.push(Found {
                        line,
                        text: format!(
                            "`{name}` is called here, and nothing defines it at top level"
                        ),
                        hint: Some(format!(
                            "define `{shown}` in Section 1, without indentation"
                        )),
                    });
                }
            }
            Some(function) => {
                if function.parameters != wanted {
                    let has = function.parameters.join(", ");
                    found.push(Found {
                        line: function.line,
                        text: format!(
                            "`{name}({has})` has other parameters than Hopr calls it with"
                        ),
                        hint: Some(format!("it must be `{shown}`")),
                    });
                }
                if let Some(again) = defined.next() {
                    found.push(Found {
                        line: again.line,
                        text: format!(
                            "`{name}` is defined again; line {} did already",
                            function.line
                        ),
                        hint: Some("Python takes the last one; remove one of them".to_owned()),
                    });
                }
            }
        }
    }
    let has_one = functions.iter().any(|function| is_known(&function.name));
    if !has_one && found.is_empty() {
        let names: Vec<&str> = SIGNATURES.iter().map(|(name, _)| *name).collect();
        found.push(Found {
            line: section1.opening,
            text: "Section 1 defines none of the functions that Hopr calls".to_owned(),
            hint: Some(format!("they are {}", names.join(", "))),
        });
    }
    found
}

/// Calls within the functions of Section 1 that stop the event loop.
pub fn blocking(module: &Module, section1: Place) -> Vec<Found> {
    let functions = module.functions().into_iter();
    let mut found = Vec::new();
    for function in functions.filter(|function| is_inside(function, section1)) {
        for (what, instead) in BLOCKING {
            if let Some(line) = module.uses(function.at..function.end, what) {
                found.push(Found {
                    line,
                    text: format!(
                        "`{}` in `{}` stops the event loop, and with it the delivery of messages",
                        what.trim_end_matches('.'),
                        function.name
                    ),
                    hint: Some(format!("use {instead}")),
                });
            }
        }
    }
    found
}

fn is_known(name: &str) -> bool {
    SIGNATURES.iter().any(|(known, _)| *known == name)
}

fn is_inside(function: &Function, section1: Place) -> bool {
    function.line > section1.opening && function.line < section1.closing
}

/// The first line outside of Section 1 that calls a function of this name.
fn called_from_outside(module: &Module, section1: Place, name: &str) -> Option<usize> {
    let is_outside = |line: usize| line < section1.opening || line > section1.closing;
    let calls = |tokens: &[Token]| {
        tokens.windows(2).enumerate().any(|(at, pair)| {
            let is_member = at > 0 && tokens[at - 1].is_sign('.');
            pair[0].is_word(name) && pair[1].is_sign('(') && !is_member
        })
    };
    let mut lines = module.lines.iter();
    lines
        .find(|logical| is_outside(logical.line) && calls(&logical.tokens))
        .map(|logical| logical.line)
}

#[cfg(test)]
mod tests {
    use super::super::python::read;
    use super::super::sections::find;
    use super::*;

    fn of(section1: &str, rest: &str) -> (Module, Place) {
        let text = format!("# -- SECTION 1 --\n{section1}# -- END SECTION 1 --\n{rest}");
        let module = read(&text).unwrap();
        let place = find(&module.comments, 1).unwrap();
        (module, place)
    }

    #[test]
    fn functions_with_the_right_parameters_pass_async_or_not() {
        for good in [
            "def on_trigger(payload, headers): return {}\n",
            "async def on_trigger(payload: dict, headers: dict | None = None) -> dict:\n    return {}\n",
            "def on_receive_relay(payload): return {}\ndef on_aggregate(partials: list): return {}\n",
            "def on_receive_terminator(\n    payload,\n): pass\n",
        ] {
            let (module, place) = of(good, "async def serve(): on_missing()\n");
            assert_eq!(mistakes(&module, place), [], "{good}");
        }
    }

    #[test]
    fn mistakes_have_their_line() {
        for (section1, rest, line, text) in [
            (
                "def on_trigger(payload): pass\n",
                "",
                2,
                "`on_trigger(payload)` has other parameters",
            ),
            ("def on_aggregate(parts): pass\n", "", 2, "other parameters"),
            (
                "def on_receive_relay(payload, *, x=1): pass\n",
                "",
                2,
                "other parameters",
            ),
            ("x = 1\n", "", 1, "defines none"),
            (
                "class A:\n    def on_trigger(self, payload, headers): pass\n",
                "r = on_trigger(a, b)\n",
                5,
                "nothing defines it",
            ),
            (
                "def on_receive_relay(payload): pass\n",
                "async def f():\n    await maybe(on_trigger(a, b))\n",
                5,
                "nothing defines it",
            ),
            (
                "def on_trigger(payload, headers): pass\ndef on_trigger(payload, headers): pass\n",
                "",
                3,
                "defined again",
            ),
        ] {
            let (module, place) = of(section1, rest);
            let found = mistakes(&module, place);
            assert_eq!(found.len(), 1, "{section1}: {found:?}");
            assert_eq!(found[0].line, line, "{section1}: {found:?}");
            assert!(found[0].text.contains(text), "{section1}: {found:?}");
        }
    }

    #[test]
    fn what_blocks_is_found_in_functions_of_section_1_only() {
        let section1 = "time.sleep(1)\ndef helper():\n    requests.get('x')\ndef on_trigger(payload, headers):\n    asyncio.sleep(1)\n    time.sleep(2)\n";
        let (module, place) = of(section1, "def own():\n    time.sleep(3)\n");
        let found: Vec<(usize, String)> = blocking(&module, place)
            .into_iter()
            .map(|found| (found.line, found.text))
            .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].0 == 4 && found[0].1.starts_with("`requests` in `helper`"),
            "{found:?}"
        );
        assert!(
            found[1].0 == 7 && found[1].1.starts_with("`time.sleep` in `on_trigger`"),
            "{found:?}"
        );
        assert_eq!(defined(&module, place), ["on_trigger"]);
    }
}
