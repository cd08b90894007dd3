//! What was measured, beside what it may be.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what the program is for")]

use std::process::ExitCode;

/// Why nothing could be measured.
pub(crate) type BenchError = Box<dyn std::error::Error + Send + Sync>;

/// One measure.
struct Bar {
    measure: String,
    value: String,
    bar: String,
    held: bool,
    counted: String,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Bars(Vec<Bar>);

/// Values of several runs.
pub(crate) struct Runs(Vec<f64>);

impl Bars {
    /// A measure that may be `most` at most. `counted` stands beside it: what does not depend on the machine.
    pub(crate) fn at_most(&mut self, measure: &str, runs: &Runs, most: f64, unit: &str, counted: String) {
        self.add(measure, runs, (most, "at most"), unit, counted, runs.median() <= most);
    }

    /// A measure that has to be `least` at least.
    pub(crate) fn at_least(&mut self, measure: &str, runs: &Runs, least: f64, unit: &str, counted: String) {
        self.add(measure, runs, (least, "at least"), unit, counted, runs.median() >= least);
    }

    fn add(
        &mut self,
        measure: &str,
        runs: &Runs,
        (bar, word): (f64, &str),
        unit: &str,
        counted: String,
        held: bool,
    ) {
        self.0.push(Bar {
            measure: measure.to_owned(),
            value: runs.text(unit),
            bar: format!("{word} {}", number(bar, unit)),
            held,
            counted,
        });
    }

    /// Writes the table, and answers whether all bars are held.
    pub(crate) fn print(&self) -> ExitCode {
        let head = ["measure", "median (of runs)", "bar", "held", "counted"].map(str::to_owned);
        let held = |held: bool| if held { "yes" } else { "NO" }.to_owned();
        let row = |bar: &Bar| {
            [&bar.measure, &bar.value, &bar.bar, &held(bar.held), &bar.counted].map(ToOwned::to_owned)
        };
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(self.0.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        let kept = self.0.iter().filter(|bar| bar.held).count();
        println!("{kept} of {} bars held", self.0.len());
        if kept == self.0.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Runs {
    pub(crate) fn of(values: Vec<f64>) -> Self {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The middle one; of an even number the worse of both would depend on the bar, so it is their mean.
    fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => self.0[middle],
            _ => f64::midpoint(self.0[middle - 1], self.0[middle]),
        }
    }

    /// The median, and between which values it lies.
    pub(crate) fn text(&self, unit: &str) -> String {
        let (Some(least), Some(most)) = (self.0.first(), self.0.last()) else { return "-".to_owned() };
        let median = number(self.median(), unit);
        if self.0.len() == 1 {
            return median;
        }
        format!("{median} ({}: {} .. {})", self.0.len(), number(*least, ""), number(*most, ""))
    }
}

/// Tells what is being done.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Tells why nothing was measured.
pub(crate) fn failed(error: &BenchError) -> ExitCode {
    eprintln!("muster-bench: {error}");
    ExitCode::from(2)
}

fn number(value: f64, unit: &str) -> String {
    let text = if value != 0.0 && value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if unit.is_empty() { text.to_owned() } else { format!("{text} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_held_by_the_median() {
        let mut bars = Bars::default();
        bars.at_most("time", &Runs::of(vec![9.0, 1.0, 2.0]), 2.0, "s", String::new());
        bars.at_least("rate", &Runs::of(vec![90.0, 110.0]), 100.5, "pods/s", String::new());
        let held: Vec<bool> = bars.0.iter().map(|bar| bar.held).collect();
        assert_eq!(held, [true, false]);
        assert_eq!(bars.0[0].value, "2 s (3: 1 .. 9)");
        assert_eq!(bars.0[1].bar, "at least 100.5 pods/s");
    }
}
