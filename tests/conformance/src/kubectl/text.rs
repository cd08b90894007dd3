//! Takes out of what kubectl prints what no two servers have alike: uids, versions, times, ages, addresses.

use std::{collections::HashMap, sync::LazyLock};

use regex::{Captures, Regex};

/// What is replaced, in this order.
struct Patterns {
    uid: Regex,
    rules: Vec<(Regex, &'static str)>,
}

#[expect(clippy::expect_used, reason = "the patterns are constants")]
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |pattern: &str| Regex::new(pattern).expect("a constant pattern");
    let rules = [
        // Log lines of client-go: severity, time and process id.
        (r"(?m)^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+:\d+\]", "${1}<log>]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
        // The files that kubectl diff compares.
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "<time>"),
        (r"/\S*/(LIVE|MERGED)-\d+/", "<${1}>/"),
        (r"/\S*/kubectl-edit-\d+\.yaml", "<edited file>"),
        (r"https?://127\.0\.0\.1:\d+", "<server>"),
        (r#"(?i)(resource ?version"?: +"?)\d+"#, "${1}<version>"),
        (r"\b10\.96\.\d+\.\d+\b", "<address>"),
        (r"(:|NodePort: +\S+ +)3[0-2]\d{3}/", "${1}<node port>/"),
        (r"(nodePort: |HealthCheck NodePort: +)\d+", "${1}<node port>"),
        (r"\bkube-api-access-[a-z0-9]{5}\b", "kube-api-access-<generated>"),
        // Ages stand alone in a column, or where describe says how long ago.
        (r"(?m)(^|[ (])(?:<unknown>|(?:\d+d)?(?:\d+h)?(?:\d+m)?\d+[smhd])( ago|$|[ )])", "${1}<age>${2}"),
    ];
    Patterns {
        uid: regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        rules: rules.map(|(pattern, mark)| (regex(pattern), mark)).into(),
    }
});

/// What one side printed so far in one transcript, as far as it must be recognised later.
#[derive(Default)]
pub struct Normaliser {
    uids: HashMap<String, usize>,
}

impl Normaliser {
    /// A text without what is volatile. Columns are told apart by two spaces: how wide they are depends on ages.
    pub fn normalise(&mut self, text: &str) -> String {
        let patterns = &*PATTERNS;
        let text = patterns.uid.replace_all(text, |found: &Captures<'_>| {
            let next = self.uids.len() + 1;
            // The same object keeps its number, so that one which was made anew is seen.
            format!("<uid {}>", self.uids.entry(found[0].to_owned()).or_insert(next))
        });
        let mut text = text.into_owned();
        for (pattern, mark) in &patterns.rules {
            text = pattern.replace_all(&text, *mark).into_owned();
        }
        let told = |line: &&str| !of_a_controller(line) && !of_the_client(line);
        let lines: Vec<String> = text.lines().filter(told).map(columns).collect();
        lines.join("\n")
    }
}

/// What controllers put into every namespace, which the embedded server has not.
fn of_a_controller(line: &str) -> bool {
    line.trim_start_matches("configmap/").split_whitespace().next() == Some("kube-root-ca.crt")
}

/// What client-go remarks on how its watches ended, which depends on the time it took.
fn of_the_client(line: &str) -> bool {
    line.starts_with("I<log>]") || line.starts_with("W<log>]")
}

/// The line with its indentation, and two spaces wherever there are more.
fn columns(line: &str) -> String {
    let content = line.trim_start_matches(' ');
    let mut made = line[..line.len() - content.len()].to_owned();
    let mut spaces = 0;
    for c in content.trim_end().chars() {
        if c == ' ' {
            spaces += 1;
            continue;
        }
        made.push_str(match spaces {
            0 => "",
            1 => " ",
            _ => "  ",
        });
        spaces = 0;
        made.push(c);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volatile_values_become_marks() {
        let mut normaliser = Normaliser::default();
        for (given, wanted) in [
            ("NAME   DATA   AGE\na      1      13s", "NAME  DATA  AGE\na  1  <age>"),
            ("a   1   2m30s   x", "a  1  <age>  x"),
            ("  resourceVersion: \"17\"", "  resourceVersion: \"<version>\""),
            ("\"resourceVersion\": \"17\"", "\"resourceVersion\": \"<version>\""),
            ("  Resource Version:  17", "  Resource Version:  <version>"),
            ("at: 2026-11-25T04:13:14Z,", "at: <time>,"),
            ("Start: Wed, 25 Nov 2026 04:13:14 +0000", "Start: <time>"),
            (
                "--- /tmp/LIVE-123/v1.ConfigMap.x.a\t2026-11-25 04:13:14.123 +0000",
                "--- <LIVE>/v1.ConfigMap.x.a\t<time>",
            ),
            ("kube-root-ca.crt   1   3s\nb   0   3s", "b  0  <age>"),
            ("E1125 04:13:14.484198   10414 memcache.go:265] x", "E<log>] x"),
            ("port 3s-x stays, v1.20s too", "port 3s-x stays, v1.20s too"),
        ] {
            assert_eq!(normaliser.normalise(given), wanted);
        }
    }

    #[test]
    fn an_object_that_was_made_anew_is_seen() {
        let mut normaliser = Normaliser::default();
        let uid = |digit: &str| format!("uid: {}-0000-0000-0000-000000000000", digit.repeat(8));
        assert_eq!(normaliser.normalise(&uid("a")), "uid: <uid 1>");
        assert_eq!(normaliser.normalise(&uid("b")), "uid: <uid 2>");
        assert_eq!(normaliser.normalise(&uid("a")), "uid: <uid 1>");
    }
}
