//! What a module defines, imports and calls.

use super::{Logical, Module, Token};

/// A function of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `def`, from 1.
    pub line: usize,
    /// Its parameters as they are called, in order; `*rest` and `**rest` with their stars.
    pub parameters: Vec<String>,
    /// The index of its `def` among the module's logical lines.
    pub at: usize,
    /// The index behind its last logical line.
    pub end: usize,
}

impl Module {
    /// The functions at top level, async or not, in order.
    pub fn functions(&self) -> Vec<Function> {
        let lines = self.lines.iter().enumerate();
        let heads = lines.filter(|(_, logical)| logical.indent == 0);
        let function = |(at, logical): (usize, &Logical)| {
            let mut tokens = logical.tokens.as_slice();
            if tokens.first()?.is_word("async") {
                tokens = &tokens[1..];
            }
            let [Token::Word(def), Token::Word(name), rest @ ..] = tokens else {
                return None;
            };
            if def != "def" {
                return None;
            }
            let below = self.lines[at + 1..].iter();
            let end = at + 1 + below.take_while(|line| line.indent > 0).count();
            Some(Function {
                name: name.clone(),
                line: logical.line,
                parameters: parameters(rest),
                at,
                end,
            })
        };
        heads.filter_map(function).collect()
    }

    /// What is imported in the lines `from` to `to` (both included), absolute imports only: the first part of each name,
    /// with its line.
    pub fn imports(&self, from: usize, to: usize) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        let inside = self
            .lines
            .iter()
            .filter(|logical| (from..=to).contains(&logical.line));
        for logical in inside {
            // `if x: import y` and `a; import b` are one logical line each.
            let is_break = |token: &Token| token.is_sign(';') || token.is_sign(':');
            for statement in logical.tokens.split(is_break) {
                match statement {
                    [first, Token::Word(name), rest @ ..]
                        if first.is_word("from")
                            && rest.iter().any(|token| token.is_word("import")) =>
                    {
                        found.push((name.clone(), logical.line));
                    }
                    [first, names @ ..] if first.is_word("import") => {
                        let names = names.split(|token| token.is_sign(','));
                        for name in names {
                            if let Some(Token::Word(name)) = name.first() {
                                found.push((name.clone(), logical.line));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// True when the dotted name stands in these logical lines: `time.sleep`, `requests.` with anything behind it.
    pub fn uses(&self, lines: std::ops::Range<usize>, dotted: &str) -> Option<usize> {
        let (wanted, is_open) = match dotted.strip_suffix('.') {
            Some(prefix) => (prefix, true),
            None => (dotted, false),
        };
        let parts: Vec<&str> = wanted.split('.').collect();
        let width = 2 * parts.len() - 1;
        let is_here = |tokens: &[Token], at: usize| {
            let window = &tokens[at..at + width];
            let fits = window
                .iter()
                .enumerate()
                .all(|(place, token)| match place % 2 {
                    0 => token.is_word(parts[place / 2]),
                    _ => token.is_sign('.'),
                });
            let is_member = at > 0 && tokens[at - 1].is_sign('.');
            let follows = tokens.get(at + width);
            let ends_well = match is_open {
                true => follows.is_some_and(|token| token.is_sign('.')),
                false => follows.is_some_and(|token| token.is_sign('(')),
            };
            fits && !is_member && ends_well
        };
        let lines = self.lines.get(lines)?;
        let has = |logical: &&Logical| {
            let tokens = &logical.tokens;
            tokens.len() >= width && (0..=tokens.len() - width).any(|at| is_here(tokens, at))
        };
        lines.iter().find(has).map(|logical| logical.line)
    }
}

/// The names of a parameter list that begins with `(`: without annotations and defaults, and without `/` and a lone `*`.
fn parameters(tokens: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut depth, mut stars, mut is_begin) = (0_usize, 0_usize, true);
    for token in tokens {
        match token {
            Token::Sign('(' | '[' | '{') => {
                depth += 1;
                if depth > 1 {
                    is_begin = false;
                }
            }
            Token::Sign(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            Token::Sign(',') if depth == 1 => (stars, is_begin) = (0, true),
            Token::Sign('*') if depth == 1 && is_begin => stars += 1,
            Token::Word(name) if depth == 1 && is_begin => {
                found.push(format!("{}{name}", "*".repeat(stars)));
                is_begin = false;
            }
            _ if depth == 1 => is_begin = false,
            _ => {}
        }
    }
    found
}
