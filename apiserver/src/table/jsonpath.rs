//! The part of Kubernetes' JSONPath that columns, scale paths and selectable fields use.
//!
//! `.a.b`, `['a']`, `.a\.b`, `[0]`, `[-1]`, `[0:2]`, `[*]`, `.*`, `..a` and filters `[?(@.a=="x")]` with
//! `==`, `!=`, `<`, `<=`, `>`, `>=` or none (existence). Braces and a leading `$` are optional.

use std::cmp::Ordering;

use serde_json::Value;

/// How long a path may be.
const MAX_LENGTH: usize = 4096;

/// Why a path cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonPathError {
    /// Something is not understood.
    #[error("JSONPath {path:?}: {reason} at {at:?}")]
    Syntax {
        /// The whole path.
        path: String,
        /// What is wrong.
        reason: &'static str,
        /// The rest of the path from there on.
        at: String,
    },
    /// The path is longer than any reasonable one.
    #[error("JSONPath of {0} bytes is too long: at most {MAX_LENGTH} are read")]
    TooLong(usize),
}

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    /// This node and everything below it.
    Descend,
    Filter {
        left: Vec<Step>,
        condition: Option<(Comparison, Operand)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Literal(Value),
    Path(Vec<Step>),
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    pub fn parse(path: &str) -> Result<Self, JsonPathError> {
        if path.len() > MAX_LENGTH {
            return Err(JsonPathError::TooLong(path.len()));
        }
        let trimmed = path.trim();
        let inner = trimmed.strip_prefix('{').and_then(|p| p.strip_suffix('}')).unwrap_or(trimmed);
        let mut parser = Parser { path, rest: inner.strip_prefix('$').unwrap_or(inner) };
        let steps = parser.steps()?;
        if !parser.rest.is_empty() {
            return Err(parser.error("unexpected text"));
        }
        Ok(Self { steps })
    }

    /// Every value the path leads to, in order; what is missing is left out.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        walk(&self.steps, root)
    }
}

fn walk<'a>(steps: &[Step], root: &'a Value) -> Vec<&'a Value> {
    steps.iter().fold(vec![root], |nodes, step| nodes.into_iter().flat_map(|node| step.apply(node)).collect())
}

impl Step {
    fn apply<'a>(&self, node: &'a Value) -> Vec<&'a Value> {
        let elements = || node.as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Field(name) => node.get(name).into_iter().collect(),
            Self::Index(index) => {
                let at = if *index < 0 { index + elements().len() as i64 } else { *index };
                usize::try_from(at).ok().and_then(|at| elements().get(at)).into_iter().collect()
            }
            Self::Slice(start, end) => {
                let length = elements().len() as i64;
                let place = |at: i64| if at < 0 { at + length } else { at }.clamp(0, length) as usize;
                let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(length)));
                elements().get(start..end).unwrap_or_default().iter().collect()
            }
            Self::All => children(node),
            Self::Descend => {
                let mut found = vec![node];
                let mut next = 0;
                while next < found.len() {
                    found.extend(children(found[next]));
                    next += 1;
                }
                found
            }
            Self::Filter { left, condition } => {
                let matches = |element: &&'a Value| {
                    let found = walk(left, element).into_iter().next();
                    match (found, condition) {
                        (Some(_), None) => true,
                        (Some(found), Some((comparison, operand))) => {
                            let other = match operand {
                                Operand::Literal(literal) => Some(literal),
                                Operand::Path(path) => walk(path, element).into_iter().next(),
                            };
                            other.is_some_and(|other| comparison.holds(found, other))
                        }
                        (None, _) => false,
                    }
                };
                elements().iter().filter(matches).collect()
            }
        }
    }
}

fn children(node: &Value) -> Vec<&Value> {
    match node {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Number(a), Value::Number(b)) => {
                a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
            }
            (a, b) => (a == b).then_some(Ordering::Equal),
        };
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

struct Parser<'a> {
    path: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn error(&self, reason: &'static str) -> JsonPathError {
        JsonPathError::Syntax { path: self.path.to_owned(), reason, at: self.rest.to_owned() }
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Steps up to the end, or up to what no step begins with.
    fn steps(&mut self) -> Result<Vec<Step>, JsonPathError> {
        let mut steps = Vec::new();
        loop {
            if self.take("..") {
                steps.push(Step::Descend);
                if !self.rest.starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.take(".") {
                if !self.rest.is_empty() && !self.rest.starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.take("[") {
                steps.push(self.bracket()?);
            } else {
                return Ok(steps);
            }
        }
    }

    fn name(&mut self) -> Result<Step, JsonPathError> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
                '.' | '[' | ']' | '(' | ')' | '=' | '!' | '<' | '>' | ' ' | ',' => {
                    end = at;
                    break;
                }
                other => name.push(other),
            }
        }
        if name.is_empty() {
            return Err(self.error("a field name is missing"));
        }
        self.rest = &self.rest[end..];
        Ok(if name == "*" { Step::All } else { Step::Field(name) })
    }

    /// What stands in brackets; the opening one is taken.
    fn bracket(&mut self) -> Result<Step, JsonPathError> {
        let step = if self.take("?(") {
            let step = self.filter()?;
            if !self.take(")") {
                return Err(self.error("a filter is not closed"));
            }
            step
        } else if self.take("*") {
            Step::All
        } else if self.rest.starts_with(['\'', '"']) {
            match self.quoted()? {
                Value::String(name) => Step::Field(name),
                _ => return Err(self.error("a field name is missing")),
            }
        } else {
            let start = self.number()?;
            if self.take(":") {
                Step::Slice(start, self.number()?)
            } else {
                Step::Index(start.ok_or_else(|| self.error("an index is missing"))?)
            }
        };
        if !self.take("]") {
            return Err(self.error("a bracket is not closed"));
        }
        Ok(step)
    }

    fn number(&mut self) -> Result<Option<i64>, JsonPathError> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() {
            return Ok(None);
        }
        let number = digits.parse().map_err(|_| self.error("a number is malformed"))?;
        self.rest = rest;
        Ok(Some(number))
    }

    fn filter(&mut self) -> Result<Step, JsonPathError> {
        self.skip_spaces();
        if !self.take("@") {
            return Err(self.error("a filter begins with @"));
        }
        let left = self.steps()?;
        self.skip_spaces();
        let comparisons = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let Some((_, comparison)) = comparisons.into_iter().find(|(sign, _)| self.take(sign)) else {
            return Ok(Step::Filter { left, condition: None });
        };
        self.skip_spaces();
        let operand = if self.take("@") {
            Operand::Path(self.steps()?)
        } else if self.rest.starts_with(['\'', '"']) {
            Operand::Literal(self.quoted()?)
        } else {
            let end = self.rest.find([')', ' ']).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            let literal = serde_json::from_str(word).map_err(|_| self.error("a value is malformed"))?;
            self.rest = rest;
            Operand::Literal(literal)
        };
        self.skip_spaces();
        Ok(Step::Filter { left, condition: Some((comparison, operand)) })
    }

    fn quoted(&mut self) -> Result<Value, JsonPathError> {
        let mut chars = self.rest.char_indices();
        let Some((_, quote)) = chars.next() else { return Err(self.error("a quote is missing")) };
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                c if c == quote => {
                    self.rest = &self.rest[at + quote.len_utf8()..];
                    return Ok(Value::String(text));
                }
                other => text.push(other),
            }
        }
        Err(self.error("a quote is not closed"))
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find_what_they_name() {
        let root = json!({
            "spec": {"replicas": 3, "list": [{"n": "a", "v": 1}, {"n": "b", "v": 2}, {"n": "c"}]},
            "metadata": {"labels": {"app.kubernetes.io/name": "x"}},
        });
        let table: &[(&str, Value)] = &[
            (".spec.replicas", json!([3])),
            ("{.spec.replicas}", json!([3])),
            ("$.spec.replicas", json!([3])),
            (".spec.list[0].n", json!(["a"])),
            (".spec.list[-1].n", json!(["c"])),
            (".spec.list[9].n", json!([])),
            (".spec.list[0:2].n", json!(["a", "b"])),
            (".spec.list[1:].n", json!(["b", "c"])),
            (".spec.list[*].n", json!(["a", "b", "c"])),
            (".spec.list[?(@.n==\"b\")].v", json!([2])),
            (".spec.list[?(@.n=='b')].v", json!([2])),
            (".spec.list[?(@.n != 'b')].n", json!(["a", "c"])),
            (".spec.list[?(@.v)].n", json!(["a", "b"])),
            (".spec.list[?(@.v>1)].n", json!(["b"])),
            (".spec.list[?( @.v <= 1 )].n", json!(["a"])),
            (".metadata.labels['app.kubernetes.io/name']", json!(["x"])),
            (".metadata.labels.app\\.kubernetes\\.io/name", json!(["x"])),
            ("..v", json!([1, 2])),
            (".spec.*", json!([root["spec"]["list"], 3])),
            (".missing.deep", json!([])),
        ];
        for (path, expected) in table {
            let found: Vec<Value> = JsonPath::parse(path).unwrap().find(&root).into_iter().cloned().collect();
            assert_eq!(&Value::from(found), expected, "{path}");
        }
    }

    #[test]
    fn malformed_paths_are_refused_with_the_place() {
        for path in ["spec", ".a[", ".a[?(b)]", ".a[?(@.b==x)]", ".a['b]", ".a..", ".a[x]"] {
            let error = JsonPath::parse(path).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
