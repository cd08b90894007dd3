//! Label selectors: the grammar of Kubernetes, and its words for what is wrong.

use super::{Requirement, SelectorError};
use crate::names;

/// A piece of a selector: a word, an operator or a bracket. Empty at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a>(&'a str);

/// The operators and brackets, longer ones first.
const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

impl Token<'_> {
    fn is_word(self) -> bool {
        !self.0.is_empty() && !SYMBOLS.contains(&self.0)
    }
}

struct Parser<'a> {
    rest: &'a str,
}

/// What is wrong inside one requirement, or between two.
type Result<T> = std::result::Result<T, String>;

/// Reads a label selector.
pub(super) fn parse(text: &str) -> std::result::Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token("") => return Ok(requirements),
            token if token.is_word() || token.0 == "!" => {}
            Token(found) => {
                let problem = format!("found '{found}', expected: !, identifier, or 'end of string'");
                return Err(SelectorError::Labels(problem));
            }
        }
        let requirement = parser.requirement();
        requirements.push(requirement.map_err(SelectorError::Requirement)?);
        match parser.next() {
            Token("") => return Ok(requirements),
            Token(",") => {
                let next = parser.peek();
                if !next.is_word() && next.0 != "!" {
                    let problem = format!("found '{}', expected: identifier after ','", next.0);
                    return Err(SelectorError::Labels(problem));
                }
            }
            Token(found) => {
                let problem = format!("found '{found}', expected: ',' or 'end of string'");
                return Err(SelectorError::Labels(problem));
            }
        }
    }
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start();
        let symbol = SYMBOLS.into_iter().find(|symbol| self.rest.starts_with(symbol));
        let end = symbol.map_or_else(
            || self.rest.find(|c: char| c.is_whitespace() || "=!(),><".contains(c)),
            |symbol| Some(symbol.len()),
        );
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Token(token)
    }

    fn peek(&self) -> Token<'a> {
        Parser { rest: self.rest }.next()
    }

    fn requirement(&mut self) -> Result<Requirement> {
        let first = self.next();
        let missing = first.0 == "!";
        let key = if missing { self.next() } else { first };
        if !key.is_word() {
            return Err(format!("found '{}', expected: identifier", key.0));
        }
        names::qualified(key.0).map_err(|problem| invalid("<nil>", key.0, &problem))?;
        let key = key.0.to_owned();
        if missing {
            return Ok(Requirement::Missing(key));
        }
        if matches!(self.peek().0, "" | ",") {
            return Ok(Requirement::Exists(key));
        }
        match self.next().0 {
            operator @ ("in" | "notin") => {
                let values = self.set()?;
                if values.is_empty() {
                    let problem = "for 'in', 'notin' operators, values set can't be empty";
                    return Err(format!("values: Invalid value: []: {problem}"));
                }
                check(&key, &values)?;
                let requirement = if operator == "in" { Requirement::In } else { Requirement::NotIn };
                Ok(requirement(key, values))
            }
            operator @ ("=" | "==" | "!=") => {
                let values = vec![self.value()?];
                check(&key, &values)?;
                let requirement = if operator == "!=" { Requirement::NotIn } else { Requirement::In };
                Ok(requirement(key, values))
            }
            operator @ (">" | "<") => {
                let value = self.value()?;
                let limit = value.parse().map_err(|_| {
                    let problem = "for 'Gt', 'Lt' operators, the value must be an integer";
                    invalid("values[0]", &value, problem)
                })?;
                Ok(if operator == ">" {
                    Requirement::Above(key, limit)
                } else {
                    Requirement::Below(key, limit)
                })
            }
            found => Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// The value of a comparison; nothing is the empty value.
    fn value(&mut self) -> Result<String> {
        if matches!(self.peek().0, "" | ",") {
            return Ok(String::new());
        }
        let token = self.next();
        if token.is_word() {
            Ok(token.0.to_owned())
        } else {
            Err(format!("found '{}', expected: identifier", token.0))
        }
    }

    /// `(a, b)`, where nothing between commas is the empty value. In order, each once.
    fn set(&mut self) -> Result<Vec<String>> {
        let open = self.next();
        if open.0 != "(" {
            return Err(format!("found '{}' expected: '('", open.0));
        }
        let mut values = std::collections::BTreeSet::new();
        match self.peek() {
            Token(")") => {
                self.next();
                return Ok(Vec::new());
            }
            token if token.is_word() || token.0 == "," => {}
            Token(found) => return Err(format!("found '{found}', expected: ',', ')' or identifier")),
        }
        loop {
            match self.next() {
                Token(",") => {
                    if values.is_empty() || matches!(self.peek().0, ")" | ",") {
                        values.insert(String::new());
                    }
                    if self.peek().0 == ")" {
                        break;
                    }
                }
                token if token.is_word() => {
                    values.insert(token.0.to_owned());
                    match self.peek().0 {
                        "," => {}
                        ")" => break,
                        found => return Err(format!("found '{found}', expected: ',' or ')'")),
                    }
                }
                Token(found) => return Err(format!("found '{found}', expected: ',', or identifier")),
            }
        }
        self.next();
        Ok(values.into_iter().collect())
    }
}

fn check(key: &str, values: &[String]) -> Result<()> {
    for (index, value) in values.iter().enumerate() {
        names::label_value(value)
            .map_err(|problem| invalid(&format!("values[{index}][{key}]"), value, &problem))?;
    }
    Ok(())
}

fn invalid(path: &str, value: &str, problem: &str) -> String {
    format!("{path}: Invalid value: {value:?}: {problem}")
}
