//! The figures that need no script: the sketch of a counterexample, and the whole history over time. Both are SVG.

use std::fmt::Write as _;

use checker::history::formats::Clock;

use super::escape::{clip, html};
use super::page::{Band, Mark, Picture};
use super::timeline::{Bucket, Timeline};
use crate::report::explain::{Actor, Explanation, time};

/// The sketch of a counterexample: bars in the order of their ends, not to scale. Empty if there is nothing to draw.
pub(super) fn sketch(explanation: &Explanation) -> String {
    const ROW: usize = 48;
    const MARGIN: usize = 170;
    let sketch = &explanation.sketch;
    if sketch.columns == 0 {
        return String::new();
    }
    let step = (900 / sketch.columns).clamp(16, 150);
    let (width, height) = (MARGIN + sketch.columns * step + 60, sketch.rows.len() * ROW + 8);
    let mut text = format!(
        "<div class=\"scroll\"><svg class=\"sketch\" role=\"img\" aria-label=\"The operations of the counterexample as bars, a row \
         for each process; the table below has the same in words\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\">"
    );
    for (number, row) in sketch.rows.iter().enumerate() {
        let y = number * ROW + 4;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "<line class=\"rule\" x1=\"{MARGIN}\" x2=\"{width}\" y1=\"{0}\" y2=\"{0}\"/><text class=\"lane\" x=\"{1}\" y=\"{2}\" \
             text-anchor=\"end\">{3}</text>",
            y + 11,
            MARGIN - 10,
            y + 15,
            html(&clip(row, 24))
        );
    }
    for (bar, actor) in sketch.bars.iter().zip(&explanation.actors[sketch.skipped..]) {
        let (x, y) = (MARGIN + bar.from * step + 8, bar.row * ROW + 4);
        let words = html(&clip(&format!("{}: {}", actor.letter, actor.what), 400));
        let end = bar.to.map_or(width - 14, |to| MARGIN + to * step + 8);
        let _ = write!(text, "<g><title>{words}</title>");
        let _ = if bar.to == Some(bar.from) {
            write!(text, "<path class=\"core\" d=\"M{x} {0}l9 11l-9 11l-9 -11z\"/>", y)
        } else if bar.to.is_none() {
            let points = format!("M{x} {y}H{}l12 11l-12 11H{x}z", end - 12);
            write!(text, "<path class=\"core open\" d=\"{points}\"/>")
        } else {
            write!(
                text,
                "<rect class=\"core\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"22\" rx=\"4\"/>",
                (end - x).max(6)
            )
        };
        let letter_at = if bar.to == Some(bar.from) { x } else { x + (end - x) / 2 };
        let _ = write!(
            text,
            "<text class=\"letter\" x=\"{letter_at}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            y + 16,
            html(&bar.letter)
        );
        let room = room(sketch, bar, step, width - MARGIN) / 7;
        if room > 5 {
            let _ = write!(
                text,
                "<text class=\"words\" x=\"{}\" y=\"{}\">{}</text>",
                if bar.to == Some(bar.from) { x - 8 } else { x },
                y + 36,
                html(&clip(&actor.what, room))
            );
        }
        text.push_str("</g>");
    }
    text.push_str("</svg></div>");
    text
}

/// The width that is free below a bar, up to the next one of its row.
fn room(
    sketch: &crate::report::explain::Sketch,
    bar: &crate::report::explain::Bar,
    step: usize,
    width: usize,
) -> usize {
    let behind = sketch.bars.iter().filter(|other| other.row == bar.row && other.from > bar.from);
    behind
        .map(|other| (other.from - bar.from) * step)
        .min()
        .unwrap_or(width - bar.from * step)
        .saturating_sub(8)
}

/// When the actor was, with no more digits than a reader needs.
pub(super) fn when(actor: &Actor, clock: Clock) -> String {
    crate::report::explain::when(actor, clock)
}

const WIDTH: f64 = 1100.0;
const LEFT: f64 = 64.0;
const RATE: (f64, f64) = (34.0, 84.0);
const LATENCY: (f64, f64) = (140.0, 70.0);

/// The scale from times to the width of a figure.
struct Scale {
    from: u64,
    length: f64,
}

impl Scale {
    fn x(&self, at: u64) -> f64 {
        LEFT + (at.saturating_sub(self.from) as f64 / self.length).clamp(0.0, 1.0) * (WIDTH - LEFT - 6.0)
    }
}

/// The whole history over time: answers, latencies, faults, phases.
pub(super) fn timeline(timeline: &Timeline, picture: &Picture) -> String {
    if timeline.buckets.is_empty() {
        return String::new();
    }
    let scale = Scale { from: timeline.span.0, length: (timeline.span.1 - timeline.span.0).max(1) as f64 };
    let mut text = format!(
        "<div class=\"scroll\"><svg class=\"timeline\" role=\"img\" aria-label=\"Answers and latencies over time, with faults and \
         phases\" viewBox=\"0 0 {WIDTH} 240\">"
    );
    bands(&mut text, &scale, &picture.bands, timeline.span.1);
    rates(&mut text, &scale, timeline, picture.lines);
    if !picture.lines {
        latencies(&mut text, &scale, timeline);
    }
    for &(from, to) in &timeline.gaps {
        let (a, b) = (scale.x(from), scale.x(to));
        let _ = write!(
            text,
            "<g><title>no operation was answered for {:.0} ms</title><rect class=\"gap\" x=\"{a:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
             height=\"5\"/></g>",
            (to - from) as f64 / 1e6,
            RATE.0 + RATE.1 + 2.0,
            (b - a).max(1.0)
        );
    }
    marks(&mut text, &scale, &picture.marks);
    axis(&mut text, &scale, timeline, picture.lines);
    text.push_str("</svg></div>");
    text
}

fn bands(text: &mut String, scale: &Scale, bands: &[Band], end: u64) {
    for band in bands {
        let (a, b) = (scale.x(band.from), scale.x(band.to.unwrap_or(end)));
        let _ = write!(
            text,
            "<g><title>{}: {}</title><rect class=\"band\" x=\"{a:.1}\" y=\"22\" width=\"{:.1}\" height=\"190\"/></g>",
            html(&band.label),
            html(&band.detail),
            (b - a).max(1.0)
        );
    }
}

fn rates(text: &mut String, scale: &Scale, timeline: &Timeline, lines: bool) {
    let all = |bucket: &Bucket| bucket.ended.iter().sum::<u64>();
    let most = timeline.buckets.iter().map(all).max().unwrap_or(0).max(1);
    let width = (WIDTH - LEFT - 6.0) / timeline.buckets.len() as f64;
    for (at, bucket) in timeline.buckets.iter().enumerate() {
        let mut y = RATE.0 + RATE.1;
        for (count, class) in bucket.ended.iter().zip(["ok", "failed", "unknown"]) {
            let height = *count as f64 / most as f64 * RATE.1;
            y -= height;
            if *count > 0 {
                let _ = write!(
                    text,
                    "<rect class=\"fill-{class}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                    LEFT + at as f64 * width,
                    (width - 0.6).max(0.5)
                );
            }
        }
    }
    let seconds = scale.length / timeline.buckets.len() as f64 / 1e9;
    let label = match lines {
        true => format!("{most} ops"),
        false => format!("{}/s", rounded(most as f64 / seconds)),
    };
    let _ = write!(
        text,
        "<text class=\"tick\" x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{label}</text><text class=\"tick\" x=\"{0}\" y=\"{2}\" \
         text-anchor=\"end\">0</text>",
        LEFT - 6.0,
        RATE.0 + 9.0,
        RATE.0 + RATE.1
    );
}

fn rounded(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.1}M", value / 1e6)
    } else if value >= 1e4 {
        format!("{:.0}k", value / 1e3)
    } else if value >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// Median and 99th percentile on a logarithmic scale.
fn latencies(text: &mut String, scale: &Scale, timeline: &Timeline) {
    let known = || timeline.buckets.iter().flat_map(|bucket| [bucket.median, bucket.p99]).flatten();
    let (Some(low), Some(high)) = (known().min(), known().max()) else { return };
    let (low, high) = ((low.max(1) as f64).log10(), (high.max(1) as f64).log10());
    let range = (high - low).max(0.3);
    let y =
        |latency: u64| LATENCY.0 + LATENCY.1 - ((latency.max(1) as f64).log10() - low) / range * LATENCY.1;
    let middle = |at: usize| {
        let part = scale.length / timeline.buckets.len() as f64;
        scale.x(scale.from + ((at as f64 + 0.5) * part) as u64)
    };
    for class in ["p99", "median"] {
        let mut path = String::new();
        let mut pen = 'M';
        for (at, bucket) in timeline.buckets.iter().enumerate() {
            let known = if class == "p99" { bucket.p99 } else { bucket.median };
            let Some(latency) = known else {
                pen = 'M';
                continue;
            };
            let _ = write!(path, "{pen}{:.1} {:.1}h0.1", middle(at), y(latency));
            pen = 'L';
        }
        let _ = write!(text, "<path class=\"{class}\" d=\"{path}\"/>");
    }
    for (value, at) in [(high, LATENCY.0 + 8.0), (low, LATENCY.0 + LATENCY.1)] {
        let _ = write!(
            text,
            "<text class=\"tick\" x=\"{}\" y=\"{at}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            html(&latency(10_f64.powf(value)))
        );
    }
}

fn latency(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n >= 1e9 => format!("{:.1} s", n / 1e9),
        n if n >= 1e7 => format!("{:.0} ms", n / 1e6),
        n if n >= 1e6 => format!("{:.1} ms", n / 1e6),
        n => format!("{:.0} µs", n / 1e3),
    }
}

fn marks(text: &mut String, scale: &Scale, marks: &[Mark]) {
    let mut free = 0.0;
    for mark in marks {
        let x = scale.x(mark.at);
        let label = html(&mark.label);
        let _ = match mark.kind {
            "phase" => {
                let wide = mark.label.len() as f64 * 6.4 + 12.0;
                let shown = x >= free && x + wide <= WIDTH;
                free = if shown { x + wide } else { free };
                write!(
                    text,
                    "<g><title>{label}</title><line class=\"phase\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"6\" y2=\"212\"/>{}</g>",
                    match shown {
                        true => format!("<text class=\"tick\" x=\"{:.1}\" y=\"14\">{label}</text>", x + 4.0),
                        false => String::new(),
                    }
                )
            }
            _ => {
                write!(text, "<g><title>{label}</title><path class=\"leader\" d=\"M{x:.1} 20l4 8h-8z\"/></g>")
            }
        };
    }
}

fn axis(text: &mut String, scale: &Scale, timeline: &Timeline, lines: bool) {
    let _ = write!(text, "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"212\" y2=\"212\"/>");
    let digits = match scale.length / 8e9 {
        part if part >= 0.2 => 1,
        part if part >= 0.02 => 2,
        _ => 4,
    };
    for part in 0..=8_u64 {
        let at =
            timeline.span.0 + ((timeline.span.1 - timeline.span.0) as u128 * u128::from(part) / 8) as u64;
        let label = match lines {
            true => at.to_string(),
            false => format!("{:.digits$} s", at as f64 / 1e9),
        };
        let anchor = match part {
            0 => "start",
            8 => "end",
            _ => "middle",
        };
        let _ = write!(
            text,
            "<text class=\"tick\" x=\"{:.1}\" y=\"228\" text-anchor=\"{anchor}\">{label}</text>",
            scale.x(at)
        );
    }
}

/// The extent of a window in words.
pub(super) fn extent((from, to): (u64, u64), lines: bool) -> String {
    let clock = if lines { Clock::Lines } else { Clock::Nanoseconds };
    format!("{} to {}", time(from, clock), time(to, clock))
}
