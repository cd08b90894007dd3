//! Live progress: a bar per cluster on a terminal, a line per change elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use muster_crds::FederatedGameStatefulSet;
use tokio::time::Instant;

use crate::output;
use crate::status::view::{self, Row};

/// Where no terminal is, a cluster's numbers are printed at most this often while they change.
const LINE_PAUSE: Duration = Duration::from_millis(500);

/// Shows how far federated objects are.
pub(crate) enum Progress {
    /// A terminal.
    Bars { all: MultiProgress, bars: BTreeMap<(String, String), ProgressBar> },
    /// Anything else.
    Lines { said: BTreeMap<(String, String), (String, Instant)> },
}

// === impl Progress ===

impl Progress {
    /// Progress on standard output.
    pub(crate) fn new() -> Self {
        if std::io::stdout().is_terminal() {
            let all = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout());
            Self::Bars { all, bars: BTreeMap::new() }
        } else {
            Self::Lines { said: BTreeMap::new() }
        }
    }

    /// Shows the state of `objects`.
    pub(crate) fn show(&mut self, objects: &[Arc<FederatedGameStatefulSet>]) {
        for object in objects {
            let name = view::name(object);
            for row in view::cluster_rows(object, None) {
                self.row(&name, &row);
            }
        }
    }

    fn row(&mut self, object: &str, row: &Row) {
        let key = (object.to_owned(), row.cluster.clone());
        let planned = row.planned.unwrap_or_default().max(0).unsigned_abs();
        match self {
            Self::Bars { all, bars } => {
                let bar = bars.entry(key).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new(planned));
                    bar.set_style(style());
                    bar.set_prefix(format!("{object}  {:<20}", row.cluster));
                    bar
                });
                bar.set_length(planned);
                bar.set_position(row.ready.unwrap_or_default().max(0).unsigned_abs());
                bar.set_message(format!("{}  {}", row.image, row.note));
            }
            Self::Lines { said } => {
                let text = format!(
                    "{object} {}: {} planned, {} replicas, {} ready, {} updated{}",
                    row.cluster,
                    view::number(row.planned),
                    view::number(row.replicas),
                    view::number(row.ready),
                    view::number(row.updated),
                    if row.note.is_empty() { String::new() } else { format!(" ({})", row.note) },
                );
                let now = Instant::now();
                let done = row.ready == row.planned && row.replicas == row.planned;
                let due = match said.get(&key) {
                    None => true,
                    Some((before, at)) => *before != text && (done || now - *at >= LINE_PAUSE),
                };
                if due {
                    output::line(&text);
                    said.insert(key, (text, now));
                }
            }
        }
    }

    /// Prints a line above the bars.
    pub(crate) fn note(&self, text: &str) {
        match self {
            // An error here means that the terminal is gone.
            Self::Bars { all, .. } => drop(all.println(text)),
            Self::Lines { .. } => output::line(text),
        }
    }

    /// Leaves the bars as they are; what is printed next begins on a line of its own.
    pub(crate) fn finish(&self) {
        if let Self::Bars { bars, .. } = self {
            bars.values().for_each(ProgressBar::abandon);
            output::line("");
        }
    }
}

fn style() -> ProgressStyle {
    // The template is a constant; the plain bar is as good where it is not understood.
    ProgressStyle::with_template("{prefix} {bar:30} {pos:>5}/{len:<5} ready  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
