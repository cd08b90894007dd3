//! What a person reads: each case with both lists, and a last line that counts.

use std::io::Write;
use std::process::ExitCode;

/// The cases so far.
#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// A case that holds, and what was seen.
    pub(crate) fn passed(&mut self, case: &str, seen: &str) {
        self.passed += 1;
        say(&format!("ok      {case}"));
        say(seen);
    }

    /// A case that does not hold.
    pub(crate) fn failed(&mut self, case: &str, why: &str) {
        self.failed += 1;
        say(&format!("FAILED  {case}"));
        say(why);
    }

    /// Cases that could not begin.
    pub(crate) fn skipped(&mut self, count: usize) {
        self.skipped += count;
    }

    /// The last line, and the exit status.
    pub(crate) fn finish(self) -> ExitCode {
        let Self { passed, failed, skipped } = self;
        say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
        if failed + skipped == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Some lines. A closed pipe is nobody's business.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{}", text.trim_end()));
}
