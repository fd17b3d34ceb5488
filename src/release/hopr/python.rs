//! As much of Python's grammar as is needed to know what a module defines: strings, brackets, comments, indentation.
//!
//! Nothing is executed, and no interpreter is needed. What is found wrong here no Python takes; what passes here may still
//! be refused by a real one (`--check-syntax` asks one).
//!
//! # Spec
//! The Python Language Reference 3.11, §2 *Lexical analysis*.

mod module;

pub use module::Function;

/// A piece of a logical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// A string, whatever is in it.
    Text,
    /// One character of an operator or bracket.
    Sign(char),
}

impl Token {
    /// True for this name or keyword.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }

    /// True for this character.
    pub fn is_sign(&self, sign: char) -> bool {
        matches!(self, Self::Sign(found) if *found == sign)
    }
}

/// A statement, or the head of a compound one: what Python calls a logical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logical {
    /// The line in the file that it begins in, from 1.
    pub line: usize,
    /// Its indentation in columns, tabs counted to multiples of eight.
    pub indent: usize,
    /// What it consists of, without comments.
    pub tokens: Vec<Token>,
}

/// A comment that has its line for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The line in the file, from 1.
    pub line: usize,
    /// What stands behind the `#`, without spaces around it.
    pub text: String,
}

/// A module, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its logical lines, in order.
    pub lines: Vec<Logical>,
    /// Its comments that stand alone, in order.
    pub comments: Vec<Comment>,
}

/// Why no Python takes a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Takes a module apart. Line ends may be `\n`, `\r\n` or `\r`, and a byte order mark may precede all.
///
/// # Errors
/// [`Error`] with the line for a string or bracket that is not closed, a bracket that closes another, and indentation that
/// fits nothing.
pub fn read(text: &str) -> Result<Module, Error> {
    let text = super::sections::normalised(text);
    let mut reader = Reader {
        rest: text.chars().collect(),
        at: 0,
        line: 1,
        module: Module::default(),
    };
    reader.lines()?;
    check_indentation(&reader.module.lines)?;
    Ok(reader.module)
}

struct Reader {
    rest: Vec<char>,
    at: usize,
    line: usize,
    module: Module,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let found = self.peek(0)?;
        self.at += 1;
        if found == '\n' {
            self.line += 1;
        }
        Some(found)
    }

    fn fail<T>(line: usize, reason: impl Into<String>) -> Result<T, Error> {
        Err(Error {
            line,
            reason: reason.into(),
        })
    }

    fn lines(&mut self) -> Result<(), Error> {
        while self.peek(0).is_some() {
            let mut indent = 0;
            loop {
                match self.peek(0) {
                    Some(' ') => indent += 1,
                    Some('\t') => indent = (indent / 8 + 1) * 8,
                    Some('\u{c}') => indent = 0,
                    _ => break,
                }
                self.at += 1;
            }
            match self.peek(0) {
                None => break,
                Some('\n') => {
                    self.next();
                }
                Some('#') => {
                    let line = self.line;
                    let text = self.comment();
                    self.module.comments.push(Comment { line, text });
                }
                Some(_) => self.logical(indent)?,
            }
        }
        Ok(())
    }

    /// What stands behind a `#`; the line's end is not taken.
    fn comment(&mut self) -> String {
        let mut text = String::new();
        while let Some(found) = self.peek(0).filter(|found| *found != '\n') {
            text.push(found);
            self.at += 1;
        }
        text.trim_start_matches('#').trim().to_owned()
    }

    fn logical(&mut self, indent: usize) -> Result<(), Error> {
        let first = self.line;
        let mut tokens = Vec::new();
        let mut open: Vec<(char, usize)> = Vec::new();
        while let Some(found) = self.peek(0) {
            let line = self.line;
            match found {
                '\n' if open.is_empty() => {
                    self.next();
                    break;
                }
                '\n' | ' ' | '\t' | '\u{c}' => {
                    self.next();
                }
                '#' => {
                    let is_alone = self.is_first_of_its_line();
                    let text = self.comment();
                    if is_alone {
                        self.module.comments.push(Comment { line, text });
                    }
                }
                '\\' => {
                    self.next();
                    if self.next() != Some('\n') {
                        return Self::fail(
                            line,
                            "something follows a backslash that continues the line",
                        );
                    }
                }
                '"' | '\'' => {
                    self.string()?;
                    tokens.push(Token::Text);
                }
                '(' | '[' | '{' => {
                    self.next();
                    open.push((found, line));
                    tokens.push(Token::Sign(found));
                }
                ')' | ']' | '}' => {
                    self.next();
                    let opened = match found {
                        ')' => '(',
                        ']' => '[',
                        _ => '{',
                    };
                    match open.pop() {
                        Some((sign, _)) if sign == opened => {}
                        Some((sign, at)) => {
                            return Self::fail(
                                line,
                                format!("`{found}` closes the `{sign}` of line {at}"),
                            );
                        }
                        None => return Self::fail(line, format!("`{found}` closes nothing")),
                    }
                    tokens.push(Token::Sign(found));
                }
                found if found == '_' || found.is_alphanumeric() => {
                    let mut word = String::new();
                    while let Some(letter) =
                        self.peek(0).filter(|c| *c == '_' || c.is_alphanumeric())
                    {
                        word.push(letter);
                        self.at += 1;
                    }
                    // `rb"…"`: the letters before a string belong to it.
                    let is_prefix = word.len() <= 2
                        && word.chars().all(|c| "rRbBuUfFtT".contains(c))
                        && matches!(self.peek(0), Some('"' | '\''));
                    if is_prefix {
                        self.string()?;
                        tokens.push(Token::Text);
                    } else {
                        tokens.push(Token::Word(word));
                    }
                }
                found if found.is_control() => {
                    return Self::fail(line, "a control character stands outside of a string");
                }
                found => {
                    self.next();
                    tokens.push(Token::Sign(found));
                }
            }
        }
        if let Some((sign, line)) = open.pop() {
            return Self::fail(line, format!("`{sign}` is never closed"));
        }
        self.module.lines.push(Logical {
            line: first,
            indent,
            tokens,
        });
        Ok(())
    }

    fn is_first_of_its_line(&self) -> bool {
        let before = self.rest[..self.at].iter().rev();
        before
            .take_while(|c| **c != '\n')
            .all(|c| c.is_whitespace())
    }

    fn string(&mut self) -> Result<(), Error> {
        let first = self.line;
        let Some(quote) = self.next() else {
            return Ok(());
        };
        let is_triple = self.peek(0) == Some(quote) && self.peek(1) == Some(quote);
        if is_triple {
            self.at += 2;
        }
        loop {
            match self.next() {
                None => return Self::fail(first, "a string is never closed"),
                Some('\\') => {
                    self.next();
                }
                Some('\n') if !is_triple => {
                    return Self::fail(first, "a string is not closed in its line");
                }
                Some(found) if found == quote => {
                    if !is_triple {
                        return Ok(());
                    }
                    if self.peek(0) == Some(quote) && self.peek(1) == Some(quote) {
                        self.at += 2;
                        return Ok(());
                    }
                }
                Some(_) => {}
            }
        }
    }
}

/// A line goes deeper behind a `:` at the end of the line before, and there only, and comes back to where a block began.
fn check_indentation(lines: &[Logical]) -> Result<(), Error> {
    let mut levels = vec![0];
    let mut opens = false;
    for logical in lines {
        let current = levels.last().copied().unwrap_or(0);
        let refuse = |reason: &str| Reader::fail(logical.line, reason);
        match (opens, logical.indent.cmp(&current)) {
            (true, std::cmp::Ordering::Greater) => levels.push(logical.indent),
            (true, _) => return refuse("an indented block is missing behind the `:` before it"),
            (false, std::cmp::Ordering::Greater) => return refuse("it is indented for no reason"),
            (false, std::cmp::Ordering::Equal) => {}
            (false, std::cmp::Ordering::Less) => {
                while levels.last().is_some_and(|level| *level > logical.indent) {
                    levels.pop();
                }
                if levels.last() != Some(&logical.indent) {
                    return refuse("its indentation is that of no line above");
                }
            }
        }
        opens = logical
            .tokens
            .last()
            .is_some_and(|token| token.is_sign(':'));
    }
    match lines.last() {
        Some(last) if opens => Reader::fail(last.line, "the block behind the `:` is missing"),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "python_tests.rs"]
mod tests;
