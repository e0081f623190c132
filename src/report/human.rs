//! Results for people: a live line on a terminal while a run goes on, one line per run, the evidence of a violation.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};

use checker::verdict::Verdict;

use super::{Reporter, Style};
use crate::director::script::Came;
use crate::events::RunEvent;
use crate::exit::Exit;
use crate::judge::{Check, Expected, Judged, Threshold};
use crate::plan::Plan;

/// The reporter for people.
pub(super) struct Human {
    style: Style,
    /// How many runs there will be: one is shown in full, several get a line each.
    runs: usize,
    live: Mutex<Live>,
}

/// The line that is overwritten while a run goes on.
struct Live {
    /// Whether standard error is a terminal that such a line makes sense on.
    on: bool,
    shown: bool,
    phase: &'static str,
    done: usize,
}

impl Human {
    /// A reporter for so many runs.
    pub(super) fn new(runs: usize) -> Self {
        let on = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        Self {
            style: Style::of(&std::io::stdout()),
            runs,
            live: Mutex::new(Live { on, shown: false, phase: "starting", done: 0 }),
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints above the live line.
    fn print(&self, text: &str) {
        self.live().clear();
        let _ = write!(std::io::stdout().lock(), "{text}");
    }
}

impl Live {
    fn show(&mut self, text: &str) {
        if self.on {
            let text: String = text.chars().take(terminal_width().saturating_sub(1)).collect();
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K{text}");
            self.shown = true;
        }
    }

    fn clear(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[2K");
            self.shown = false;
        }
    }
}

impl Reporter for Human {
    fn event(&self, plan: &Plan, event: &RunEvent) {
        match event {
            RunEvent::Phase { phase, .. } => self.live().phase = phase.label(),
            RunEvent::Progress { at, calls, leader, active } => {
                let mut live = self.live();
                let mut line = format!("{} seed {}", plan.suite.title(), plan.seed);
                if self.runs > 1 {
                    let _ = write!(line, " ({}/{})", live.done + 1, self.runs);
                }
                let _ = write!(line, "  {:>5.1}s {}", *at as f64 / 1e9, live.phase);
                let _ = write!(line, "  {} ok {} failed {} unknown", calls.ok, calls.failed, calls.unknown);
                if let Some(leader) = leader {
                    let _ = write!(line, "  {leader}");
                }
                if !active.is_empty() {
                    let _ = write!(line, "  [{}]", active.join("; "));
                }
                live.show(&line);
            }
            RunEvent::Kept { hint } => self.print(&format!("{hint}\n")),
            _ => {}
        }
    }

    fn judged(&self, judged: &Judged) {
        self.live().done += 1;
        let text = if self.runs == 1 { full(judged, self.style) } else { brief(judged, self.style) };
        self.print(&text);
    }

    fn finished(&self, all: &[Judged]) {
        self.live().clear();
        if self.runs > 1 {
            self.print(&summary(all, self.style));
        }
    }
}

fn terminal_width() -> usize {
    // SAFETY: TIOCGWINSZ fills the structure that it is given and touches nothing else.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &mut size) == 0).then_some(size)
    };
    size.filter(|size| size.ws_col > 0).map_or(100, |size| usize::from(size.ws_col)).max(20)
}

/// The word that a run ends with.
fn word(exit: Exit, style: Style) -> String {
    match exit {
        Exit::AsExpected => style.good("PASS"),
        Exit::Differs => style.bad("FAIL"),
        Exit::Inconclusive => style.warn("INCONCLUSIVE"),
        Exit::Vacuous => style.warn("VACUOUS"),
        Exit::Thresholds => style.warn("THRESHOLD"),
        Exit::Unavailable => style.warn("UNAVAILABLE"),
        Exit::Interrupted => style.warn("INTERRUPTED"),
        Exit::Harness | Exit::Usage => style.bad("HARNESS FAILURE"),
    }
}

/// One line for a run, and the evidence below it where the result is not the expected one.
fn brief(judged: &Judged, style: Style) -> String {
    let mut text = format!(
        "{} {} seed {}  {:.1}s  {} ok, {} failed, {} unknown  {} faults  {}\n",
        word(judged.exit, style),
        judged.suite,
        judged.seed,
        judged.lasted as f64 / 1e9,
        judged.calls.ok,
        judged.calls.failed,
        judged.calls.unknown,
        judged.faults.installed,
        judged.headline,
    );
    if !matches!(judged.exit, Exit::AsExpected | Exit::Interrupted) {
        text.push_str(&details(judged, style));
        let _ = writeln!(text, "  run directory {}", judged.directory.display());
        text.push_str(&page(judged));
        let _ = writeln!(text, "  {}", judged.reproduce);
    }
    text
}

/// Everything about one run.
fn full(judged: &Judged, style: Style) -> String {
    let mut text = format!(
        "{}  seed {}  {}  {:.1} s\n",
        style.bold(&judged.suite),
        judged.seed,
        judged.cluster,
        judged.lasted as f64 / 1e9
    );
    let calls = judged.calls;
    let _ = writeln!(
        text,
        "  {} calls: {} ok, {} failed (provably without effect), {} unknown",
        calls.ok + calls.failed + calls.unknown,
        calls.ok,
        calls.failed,
        calls.unknown
    );
    let faults = judged.faults;
    let _ = write!(text, "  {} faults installed", faults.installed);
    for (count, what) in [
        (faults.skipped, "skipped"),
        (faults.indeterminate, "indeterminate"),
        (faults.idle, "without any effect"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text.push('\n');
    text.push_str(&story(judged, style));
    text.push_str(&details(judged, style));
    let _ = writeln!(text, "  run directory {}", judged.directory.display());
    text.push_str(&page(judged));
    let _ = writeln!(text, "{} {}", word(judged.exit, style), judged.headline);
    if judged.exit != Exit::AsExpected {
        let _ = writeln!(text, "{}", judged.reproduce);
    }
    text
}

/// Where the page of the run is, if it could be written.
fn page(judged: &Judged) -> String {
    let page = judged.directory.join(super::html::FILE);
    if page.is_file() { format!("  page {}\n", page.display()) } else { String::new() }
}

/// What the steps of a choreography did and saw.
fn story(judged: &Judged, style: Style) -> String {
    let mut text = String::new();
    for step in &judged.steps {
        let mark = match step.came {
            Came::Done => ' ',
            Came::Otherwise => '-',
            Came::Missed => '!',
        };
        let at = step.t as f64 / 1e6;
        let _ = writeln!(text, "  {mark}{at:>8.1} ms  {}", step.step);
        if let Some(note) = &step.note {
            let _ = writeln!(text, "               {}", style.faint(note));
        }
        if !step.seen.is_empty() {
            let _ = writeln!(text, "               {}", style.faint(&step.seen));
        }
    }
    text
}

fn details(judged: &Judged, style: Style) -> String {
    let mut text = String::new();
    for check in &judged.checks {
        text.push_str(&line(check, style));
    }
    // That anything happened at all is only news if nothing did.
    let news = |threshold: &&Threshold| !threshold.kept || threshold.bound != "count>=1";
    for threshold in judged.thresholds.iter().filter(news) {
        let mark = if threshold.kept { style.good("ok") } else { style.bad("missed") };
        let _ = writeln!(text, "  {mark} {} {}: {}", threshold.measure, threshold.bound, threshold.measured);
    }
    for remark in &judged.remarks {
        let _ = writeln!(text, "  {} {remark}", style.warn("note"));
    }
    if let Some(missed) = &judged.missed {
        let _ = writeln!(text, "  {} {}", style.warn("missed:"), missed.replace('\n', "\n    "));
    }
    if let Some(missing) = &judged.unavailable {
        let _ = writeln!(text, "  {} {}", style.warn("unavailable:"), missing.replace('\n', "\n    "));
    }
    if let Some(failure) = &judged.harness_failure {
        let _ = writeln!(text, "  {} {}", style.bad("harness failure:"), failure.replace('\n', "\n    "));
    }
    text
}

fn line(check: &Check, style: Style) -> String {
    let mark = match (&check.verdict, check.expected) {
        (_, Expected::Tolerated) => style.faint("--"),
        (Verdict::Holds(_), Expected::Holds) => style.good("ok"),
        (Verdict::Violated(_), Expected::Violated) => style.good("found"),
        (Verdict::Holds(_), Expected::Violated) => style.warn("--"),
        (Verdict::Violated(_), Expected::Holds) => style.bad("!!"),
        (Verdict::Inconclusive(_), _) => style.warn("??"),
    };
    let body = checker::verdict::render(&check.name, &check.verdict);
    let mut lines = body.lines();
    let mut text = format!("  {mark} {}\n", lines.next().unwrap_or_default());
    for rest in lines {
        let _ = writeln!(text, "     {rest}");
    }
    text
}

/// The counts over all runs.
fn summary(all: &[Judged], style: Style) -> String {
    let passed = all.iter().filter(|judged| judged.exit == Exit::AsExpected).count();
    let calls: u64 = all.iter().map(|judged| judged.calls.ok).sum();
    let faults: u64 = all.iter().map(|judged| judged.faults.installed).sum();
    let mut text = format!(
        "\n{} of {} runs as expected; {calls} acknowledged operations, {faults} faults\n",
        style.bold(&passed.to_string()),
        all.len()
    );
    let mut times: Vec<f64> =
        all.iter().filter_map(|judged| judged.first_violation).map(|at| at as f64 / 1e9).collect();
    times.sort_by(f64::total_cmp);
    if let (Some(median), Some(worst)) = (times.get(times.len() / 2), times.last()) {
        let _ = writeln!(
            text,
            "a violation in {} runs, complete after {median:.1} s (median) and {worst:.1} s (worst)",
            times.len()
        );
    }
    text
}
