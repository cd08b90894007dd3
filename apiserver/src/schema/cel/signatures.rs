//! The functions and operators that expressions may use: those of the API servers of Kubernetes 1.34.
//!
//! Signatures are written as they read: `list(A) isSorted() bool` is a function of a receiver, `quantity(string) Quantity`
//! one without. Letters are type variables.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::types::Ty;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) member: bool,
    /// The receiver first, where there is one.
    pub(super) parameters: Vec<Ty>,
    pub(super) result: Ty,
    /// How many type variables it has, numbered from nought.
    pub(super) variables: usize,
}

/// The ways to call the function or operator of a name; `None` where there is none.
pub(super) fn signatures(name: &str) -> Option<&'static [Signature]> {
    SIGNATURES.get(name).map(Vec::as_slice)
}

/// The type that a name such as `int` stands for.
pub(super) fn named_type(name: &str) -> Option<Ty> {
    Some(match name {
        "null_type" => Ty::Null,
        "google.protobuf.Timestamp" => Ty::Timestamp,
        "google.protobuf.Duration" => Ty::Duration,
        "list" => Ty::list(Ty::Dyn),
        "map" => Ty::map(Ty::Dyn, Ty::Dyn),
        "type" => Ty::Type(Arc::new(Ty::Dyn)),
        "optional_type" => Ty::optional(Ty::Dyn),
        "net.IP"
        | "net.CIDR"
        | "kubernetes.Quantity"
        | "kubernetes.URL"
        | "kubernetes.NamedFormat"
        | "kubernetes.Semver" => plain(name.rsplit('.').next().unwrap_or(name))?,
        "bool" | "int" | "uint" | "double" | "string" | "bytes" => plain(name)?,
        _ => return None,
    })
}

const OPERATORS: &str = "
    _?_:_(bool, A, A) A
    _&&_(bool, bool) bool
    _||_(bool, bool) bool
    !_(bool) bool
    @not_strictly_false(bool) bool
    _==_(A, A) bool
    _!=_(A, A) bool
    -_(int) int
    -_(double) double
    _[_](list(A), int) A
    _[_](map(A, B), A) B
    _[_](optional(list(A)), int) optional(A)
    _[_](optional(map(A, B)), A) optional(B)
    _[?_](list(A), int) optional(A)
    _[?_](optional(list(A)), int) optional(A)
    _[?_](map(A, B), A) optional(B)
    _[?_](optional(map(A, B)), A) optional(B)
    @in(A, list(A)) bool
    @in(A, map(A, B)) bool
    _+_(bytes, bytes) bytes
    _+_(double, double) double
    _+_(duration, duration) duration
    _+_(duration, timestamp) timestamp
    _+_(timestamp, duration) timestamp
    _+_(int, int) int
    _+_(list(A), list(A)) list(A)
    _+_(string, string) string
    _+_(uint, uint) uint
    _-_(double, double) double
    _-_(duration, duration) duration
    _-_(int, int) int
    _-_(timestamp, duration) timestamp
    _-_(timestamp, timestamp) duration
    _-_(uint, uint) uint
    _*_(double, double) double
    _*_(int, int) int
    _*_(uint, uint) uint
    _/_(double, double) double
    _/_(int, int) int
    _/_(uint, uint) uint
    _%_(int, int) int
    _%_(uint, uint) uint
";

/// What `<`, `<=`, `>` and `>=` compare.
const COMPARABLE: &[(&str, &str)] = &[
    ("bool", "bool"),
    ("int", "int"),
    ("int", "double"),
    ("int", "uint"),
    ("uint", "uint"),
    ("uint", "double"),
    ("uint", "int"),
    ("double", "double"),
    ("double", "int"),
    ("double", "uint"),
    ("string", "string"),
    ("bytes", "bytes"),
    ("timestamp", "timestamp"),
    ("duration", "duration"),
];

const STANDARD: &str = "
    size(bytes) int
    size(list(A)) int
    size(map(A, B)) int
    size(string) int
    bytes size() int
    list(A) size() int
    map(A, B) size() int
    string size() int
    type(A) type(A)
    bool(bool) bool
    bool(string) bool
    bytes(bytes) bytes
    bytes(string) bytes
    double(double) double
    double(int) double
    double(string) double
    double(uint) double
    duration(duration) duration
    duration(string) duration
    dyn(A) dyn
    int(int) int
    int(double) int
    int(duration) int
    int(string) int
    int(timestamp) int
    int(uint) int
    string(string) string
    string(bool) string
    string(bytes) string
    string(double) string
    string(duration) string
    string(int) string
    string(timestamp) string
    string(uint) string
    timestamp(timestamp) timestamp
    timestamp(int) timestamp
    timestamp(string) timestamp
    uint(uint) uint
    uint(double) uint
    uint(int) uint
    uint(string) uint
    string contains(string) bool
    string endsWith(string) bool
    string startsWith(string) bool
    matches(string, string) bool
    string matches(string) bool
    timestamp getFullYear() int
    timestamp getFullYear(string) int
    timestamp getMonth() int
    timestamp getMonth(string) int
    timestamp getDayOfYear() int
    timestamp getDayOfYear(string) int
    timestamp getDayOfMonth() int
    timestamp getDayOfMonth(string) int
    timestamp getDate() int
    timestamp getDate(string) int
    timestamp getDayOfWeek() int
    timestamp getDayOfWeek(string) int
    timestamp getHours() int
    timestamp getHours(string) int
    duration getHours() int
    timestamp getMinutes() int
    timestamp getMinutes(string) int
    duration getMinutes() int
    timestamp getSeconds() int
    timestamp getSeconds(string) int
    duration getSeconds() int
    timestamp getMilliseconds() int
    timestamp getMilliseconds(string) int
    duration getMilliseconds() int
    optional.of(A) optional(A)
    optional.ofNonZeroValue(A) optional(A)
    optional.none() optional(A)
    optional(A) value() A
    optional(A) hasValue() bool
    optional(A) or(optional(A)) optional(A)
    optional(A) orValue(A) A
";

const STRINGS: &str = "
    string charAt(int) string
    string indexOf(string) int
    string indexOf(string, int) int
    string lastIndexOf(string) int
    string lastIndexOf(string, int) int
    string lowerAscii() string
    string upperAscii() string
    string replace(string, string) string
    string replace(string, string, int) string
    string split(string) list(string)
    string split(string, int) list(string)
    string substring(int) string
    string substring(int, int) string
    string trim() string
    string format(list(dyn)) string
    strings.quote(string) string
    list(string) join() string
    list(string) join(string) string
    string find(string) string
    string findAll(string) list(string)
    string findAll(string, int) list(string)
";

const LISTS: &str = "
    list(A) indexOf(A) int
    list(A) lastIndexOf(A) int
    list(A) slice(int, int) list(A)
    list(list(A)) flatten() list(A)
    list(dyn) flatten(int) list(dyn)
    list(A) distinct() list(A)
    list(A) reverse() list(A)
    list(A) @sortByAssociatedKeys(list(B)) list(A)
    lists.range(int) list(int)
    sets.contains(list(A), list(A)) bool
    sets.equivalent(list(A), list(A)) bool
    sets.intersects(list(A), list(A)) bool
";

/// What lists can be put in order by, and which of it can be summed up.
const SORTABLE: &[(&str, bool)] = &[
    ("int", true),
    ("uint", true),
    ("double", true),
    ("duration", true),
    ("bool", false),
    ("timestamp", false),
    ("string", false),
    ("bytes", false),
];

const KUBERNETES: &str = "
    url(string) URL
    isURL(string) bool
    URL getScheme() string
    URL getHost() string
    URL getHostname() string
    URL getPort() string
    URL getEscapedPath() string
    URL getQuery() map(string, list(string))
    ip(string) IP
    isIP(string) bool
    ip.isCanonical(string) bool
    IP family() int
    IP isUnspecified() bool
    IP isLoopback() bool
    IP isLinkLocalMulticast() bool
    IP isLinkLocalUnicast() bool
    IP isGlobalUnicast() bool
    string(IP) string
    cidr(string) CIDR
    isCIDR(string) bool
    CIDR containsIP(string) bool
    CIDR containsIP(IP) bool
    CIDR containsCIDR(string) bool
    CIDR containsCIDR(CIDR) bool
    CIDR ip() IP
    CIDR prefixLength() int
    CIDR masked() CIDR
    string(CIDR) string
    quantity(string) Quantity
    isQuantity(string) bool
    Quantity isGreaterThan(Quantity) bool
    Quantity isLessThan(Quantity) bool
    Quantity compareTo(Quantity) int
    Quantity asApproximateFloat() double
    Quantity asInteger() int
    Quantity isInteger() bool
    Quantity add(Quantity) Quantity
    Quantity add(int) Quantity
    Quantity sub(Quantity) Quantity
    Quantity sub(int) Quantity
    sign(Quantity) int
    Quantity sign() int
    format.named(string) optional(NamedFormat)
    format.dns1123Label() NamedFormat
    format.dns1123Subdomain() NamedFormat
    format.dns1035Label() NamedFormat
    format.qualifiedName() NamedFormat
    format.dns1123LabelPrefix() NamedFormat
    format.dns1123SubdomainPrefix() NamedFormat
    format.dns1035LabelPrefix() NamedFormat
    format.labelValue() NamedFormat
    format.uri() NamedFormat
    format.uuid() NamedFormat
    format.byte() NamedFormat
    format.date() NamedFormat
    format.datetime() NamedFormat
    NamedFormat validate(string) optional(list(string))
    semver(string) Semver
    semver(string, bool) Semver
    isSemver(string) bool
    isSemver(string, bool) bool
    Semver isGreaterThan(Semver) bool
    Semver isLessThan(Semver) bool
    Semver compareTo(Semver) int
    Semver major() int
    Semver minor() int
    Semver patch() int
";

static SIGNATURES: LazyLock<HashMap<String, Vec<Signature>>> = LazyLock::new(|| {
    let mut table: HashMap<String, Vec<Signature>> = HashMap::new();
    let mut add = |line: &str| {
        if let Some((name, signature)) = read(line) {
            table.entry(name).or_default().push(signature);
        }
    };
    let written = [OPERATORS, STANDARD, STRINGS, LISTS, KUBERNETES];
    written.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()).for_each(&mut add);
    for operator in ["_<_", "_<=_", "_>_", "_>=_"] {
        for (one, other) in COMPARABLE {
            add(&format!("{operator}({one}, {other}) bool"));
        }
    }
    for (element, sums) in SORTABLE {
        for result in [format!("min() {element}"), format!("max() {element}"), "isSorted() bool".to_owned()] {
            add(&format!("list({element}) {result}"));
        }
        add(&format!("list({element}) sort() list({element})"));
        if *sums {
            add(&format!("list({element}) sum() {element}"));
        }
    }
    table
});

/// Reads one line: `receiver name(parameters) result`.
fn read(line: &str) -> Option<(String, Signature)> {
    let line = line.trim();
    // The parameters are in the last parentheses that open where a name ends: the result may have some too.
    let (head, result) = split_result(line)?;
    let open = head.find_parameters()?;
    let (front, parameters) = (&head[..open], &head[open + 1..head.len() - 1]);
    let (receiver, name) = match front.rsplit_once(' ') {
        Some((receiver, name)) => (Some(receiver), name),
        None => (None, front),
    };
    let mut types: Vec<Ty> = Vec::new();
    for part in receiver.into_iter().chain(split_top(parameters)) {
        types.push(ty(part)?);
    }
    let result = ty(result)?;
    let variables = ["A", "B"].iter().filter(|letter| mentions(line, letter)).count();
    Some((name.to_owned(), Signature { member: receiver.is_some(), parameters: types, result, variables }))
}

fn mentions(line: &str, letter: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == letter)
}

/// The part with the parameters and the result after it: the blank outside of parentheses that comes last.
fn split_result(line: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    let mut at = None;
    for (index, c) in line.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 => at = Some(index),
            _ => {}
        }
    }
    at.map(|at| (&line[..at], &line[at + 1..]))
}

trait FindParameters {
    /// Where the parentheses open that close at the end.
    fn find_parameters(&self) -> Option<usize>;
}

impl FindParameters for str {
    fn find_parameters(&self) -> Option<usize> {
        let mut depth = 0;
        for (index, c) in self.char_indices().rev() {
            match c {
                ')' => depth += 1,
                '(' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(index);
            }
        }
        None
    }
}

fn split_top(parameters: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (index, c) in parameters.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(parameters[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    if !parameters.trim().is_empty() {
        parts.push(parameters[start..].trim());
    }
    parts
}

fn ty(text: &str) -> Option<Ty> {
    let Some((outer, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return plain(text);
    };
    let mut parts = split_top(inner).into_iter().map(ty);
    let mut next = || parts.next().flatten();
    Some(match outer {
        "list" => Ty::list(next()?),
        "map" => Ty::map(next()?, next()?),
        "optional" => Ty::optional(next()?),
        "type" => Ty::Type(Arc::new(next()?)),
        _ => return None,
    })
}

fn plain(name: &str) -> Option<Ty> {
    Some(match name {
        "A" => Ty::Var(0),
        "B" => Ty::Var(1),
        "dyn" => Ty::Dyn,
        "bool" => Ty::Bool,
        "int" => Ty::Int,
        "uint" => Ty::Uint,
        "double" => Ty::Double,
        "string" => Ty::String,
        "bytes" => Ty::Bytes,
        "timestamp" => Ty::Timestamp,
        "duration" => Ty::Duration,
        "IP" => Ty::Opaque("net.IP"),
        "CIDR" => Ty::Opaque("net.CIDR"),
        "Quantity" => Ty::Opaque("kubernetes.Quantity"),
        "URL" => Ty::Opaque("kubernetes.URL"),
        "NamedFormat" => Ty::Opaque("kubernetes.NamedFormat"),
        "Semver" => Ty::Opaque("kubernetes.Semver"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_signature() {
        for line in [OPERATORS, STANDARD, STRINGS, LISTS, KUBERNETES].iter().flat_map(|text| text.lines()) {
            assert!(line.trim().is_empty() || read(line).is_some(), "{line}");
        }
    }

    #[test]
    fn signatures_are_read_as_they_are_written() {
        let (name, signature) = read("NamedFormat validate(string) optional(list(string))").unwrap();
        assert_eq!((name.as_str(), signature.member), ("validate", true));
        assert_eq!(signature.result.to_string(), "optional_type(list(string))");
        let (name, signature) = read("_[_](optional(map(A, B)), A) optional(B)").unwrap();
        assert_eq!((name.as_str(), signature.member, signature.variables), ("_[_]", false, 2));
        assert_eq!(signature.parameters.len(), 2);
        assert!(signatures("min").unwrap().len() > 5 && signatures("_<_").is_some());
    }
}
