//! What a person reads: each check with what was seen, and a last line that counts.

use std::io::Write;
use std::process::ExitCode;

use crate::failure::Failure;

/// The checks so far.
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { passed: 0, failed: 0, skipped: 0 }
    }

    /// A check that holds, and what was seen.
    pub(crate) fn passed(&mut self, check: &str, seen: &[String]) {
        self.passed += 1;
        say(&format!("ok      {check}"));
        for line in seen {
            say(&format!("        {line}"));
        }
    }

    /// A check that does not hold.
    pub(crate) fn failed(&mut self, check: &str, error: &Failure) {
        self.failed += 1;
        say(&format!("FAILED  {check}"));
        say(&format!("        {error}"));
    }

    /// Checks that could not begin.
    pub(crate) fn skipped(&mut self, count: usize) {
        self.skipped += count;
    }

    /// The last line, and the exit status.
    pub(crate) fn finish(self) -> ExitCode {
        let Self { passed, failed, skipped } = self;
        say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
        if failed + skipped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// One line. A closed pipe is nobody's business.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}
