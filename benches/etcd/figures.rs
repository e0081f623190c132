//! What was measured, and how it is shown: the median of each side with its smallest and largest value, and their ratio.

use std::fmt;

/// More other work than this on the machine makes a ratio worthless, in cores.
const QUIET_MAX: f64 = 0.10;

/// Which way is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// A rate.
    More,
    /// A cost.
    Less,
    /// Neither: a condition of another figure.
    None,
}

/// Who was measured.
pub(crate) trait Named {
    /// The name of its column.
    fn side(&self) -> &'static str;
}

/// The values of one figure on one side.
pub(crate) struct Series {
    side: &'static str,
    values: Vec<f64>,
    /// The most that anything else used of the machine while it was measured, in cores.
    rest: f64,
}

impl Series {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
    }

    fn ends(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted[0], sorted[sorted.len() - 1])
    }
}

struct Row {
    name: String,
    unit: &'static str,
    better: Better,
    series: Vec<Series>,
}

impl Row {
    /// Median against median, and the least favourable turn; sides were measured in turn, so turns are pairs.
    fn ratio(&self, anyway: bool) -> Option<String> {
        let [ours, theirs] = self.series.as_slice() else { return None };
        if self.better == Better::None {
            return None;
        }
        let rest = ours.rest.max(theirs.rest);
        if rest > QUIET_MAX && !anyway {
            return Some(format!("no ratio: {rest:.2} cores were busy with something else"));
        }
        let pairs = ours.values.iter().zip(&theirs.values).map(|(ours, theirs)| ours / theirs);
        let worst = match self.better {
            Better::More => pairs.fold(f64::INFINITY, f64::min),
            Better::Less | Better::None => pairs.fold(0.0, f64::max),
        };
        Some(format!("{:.2}x (worst turn {worst:.2}x)", ours.median() / theirs.median()))
    }
}

/// All figures, in the order in which they were measured first.
pub(crate) struct Report {
    rows: Vec<Row>,
    anyway: bool,
}

impl Report {
    /// A report that quotes ratios of a busy machine only if told to.
    pub(crate) fn new(anyway: bool) -> Self {
        Self { rows: Vec::new(), anyway }
    }

    /// Adds a value that other work does not change much.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        better: Better,
        side: &impl Named,
        value: f64,
    ) {
        self.add_beside(name, unit, better, side, value, 0.0);
    }

    /// Adds a value that was measured while other work took `rest` cores.
    pub(crate) fn add_beside(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        better: Better,
        side: &impl Named,
        value: f64,
        rest: f64,
    ) {
        let (name, side) = (name.into(), side.side());
        println!("  {name}: {side} {value:.2} {unit} (other work {rest:.2} cores)");
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name, unit, better, series: Vec::new() });
            self.rows.len() - 1
        });
        let series = &mut self.rows[at].series;
        match series.iter_mut().find(|series| series.side == side) {
            Some(series) => {
                series.values.push(value);
                series.rest = series.rest.max(rest);
            }
            None => series.push(Series { side, values: vec![value], rest }),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "median (smallest..largest) of each side; ratios are the bundled node against etcd")?;
        for row in &self.rows {
            write!(f, "{:<58}", row.name)?;
            for series in &row.series {
                let (min, max) = series.ends();
                let text =
                    format!("{} {} ({}..{})", series.side, Short(series.median()), Short(min), Short(max));
                write!(f, "  {text}")?;
            }
            write!(f, " {}", row.unit)?;
            match row.ratio(self.anyway) {
                Some(ratio) => writeln!(f, "  {ratio}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// A number with three or more digits.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.0.abs() >= 100.0 {
            0
        } else if self.0.abs() >= 10.0 {
            1
        } else {
            2
        };
        write!(f, "{:.digits$}", self.0)
    }
}
