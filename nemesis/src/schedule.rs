//! The schedule of a run's faults, drawn up front.
//!
//! **The rule.** The first fault begins one draw of `every` after the phase of faults began, and each later one a draw of
//! `every` after the *beginning* of the one before. Each lasts a draw of its `for`. So `every` is the rate of faults
//! whatever their length, and faults longer than `every` overlap; what may overlap is decided when they choose their
//! targets ([`crate::select::Limit`]). For faults one at a time make `every` longer than the longest `for`.
//!
//! No fault outlasts the phase: the last ones are cut short, and one that would be left with less than the shortest `for`
//! of its kind is not planned.
//!
//! **Promises.** The same arguments give the same schedule. Times of beginning and seeds do not depend on the mix, and which
//! entry is drawn does not depend on `every` or on any `for`. A longer phase only adds faults at the end, and lengthens
//! those that were cut short.

use checker::params::Params;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::claims::FaultId;
use crate::fault::FaultKind;
use crate::faults;
use crate::settings;
use crate::stream::stream;

/// The shortest time between the beginnings of two faults that may be asked for, in nanoseconds.
pub const EVERY_NS_MIN: u64 = 1_000_000;

/// The most faults that one schedule may hold.
pub const FAULTS_MAX: u64 = 100_000;

/// The greatest weight of one entry.
pub const WEIGHT_MAX: u64 = 1_000_000;

/// One fault that will be injected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Its number: they count from 0 in the order of time, and leave out those that did not fit.
    pub id: FaultId,
    /// When it begins, in nanoseconds since the beginning of the phase of faults.
    pub at_ns: u64,
    /// How long it lasts, in nanoseconds.
    pub for_ns: u64,
    /// The name of its kind.
    pub kind: String,
    /// Its settings.
    pub params: Params,
    /// The seed of its own choices: [`Planned::rng`].
    pub seed: u64,
}

/// What the faults of a run are drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// The bounds of the time between two beginnings, both inclusive, in nanoseconds.
    pub every_ns: (u64, u64),
    /// The kinds that are drawn from.
    pub entries: Vec<MixEntry>,
}

/// One entry of a mix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixEntry {
    /// The name of the kind.
    pub kind: String,
    /// Its settings, with all defaults filled in.
    pub params: Params,
    /// How often it is drawn, relative to the others. Zero: never.
    pub weight: u64,
}

impl Planned {
    /// The random numbers from which the fault chooses its target.
    pub fn rng(&self) -> impl Rng + use<> {
        stream(self.seed, "target")
    }
}

/// Draws the faults of a phase of this length. `Err` says which argument cannot work.
pub fn draw(mix: &Mix, duration_ns: u64, seed: u64) -> Result<Vec<Planned>, String> {
    check(mix, duration_ns)?;
    let (mut when, mut which) = (stream(seed, "faults.when"), stream(seed, "faults.which"));
    let (mut length, mut seeds) = (stream(seed, "faults.for"), stream(seed, "faults.seed"));
    let mut planned = Vec::new();
    let mut at_ns = 0_u64;
    for number in 0.. {
        at_ns = at_ns.saturating_add(when.random_range(mix.every_ns.0..=mix.every_ns.1));
        // Each stream gives exactly one number per fault, whether or not the fault is kept, so that none shifts.
        let (ticket, fraction, seed) = (which.next_u64(), length.next_u64(), seeds.next_u64());
        if at_ns >= duration_ns {
            break;
        }
        let entry = pick(&mix.entries, ticket).ok_or("the mix has no entry with a weight")?;
        let (low, high) = lasts(entry)?;
        let for_ns = scale(fraction, low, high).min(duration_ns - at_ns);
        if for_ns >= low {
            let (kind, params) = (entry.kind.clone(), entry.params.clone());
            planned.push(Planned { id: FaultId(number), at_ns, for_ns, kind, params, seed });
        }
    }
    Ok(planned)
}

fn check(mix: &Mix, duration_ns: u64) -> Result<(), String> {
    let (low, high) = mix.every_ns;
    if low > high {
        return Err("`every`: the range begins after its end".to_owned());
    }
    if low < EVERY_NS_MIN {
        return Err(format!("`every` must be at least {} ms", EVERY_NS_MIN / 1_000_000));
    }
    if duration_ns / low > FAULTS_MAX {
        return Err(format!(
            "`every` is so short that more than {FAULTS_MAX} faults could fall into `duration`"
        ));
    }
    if mix.entries.iter().all(|entry| entry.weight == 0) {
        return Err("`mix` has no entry with a weight above 0".to_owned());
    }
    if let Some(entry) = mix.entries.iter().find(|entry| entry.weight > WEIGHT_MAX) {
        return Err(format!("`{}`: the weight {} is above {WEIGHT_MAX}", entry.kind, entry.weight));
    }
    mix.entries
        .iter()
        .try_for_each(|entry| lasts(entry).map(|_| ()).map_err(|why| format!("`{}`: {why}", entry.kind)))
}

/// The entry that this random number falls on.
fn pick(entries: &[MixEntry], ticket: u64) -> Option<&MixEntry> {
    let total: u128 = entries.iter().map(|entry| u128::from(entry.weight)).sum();
    let mut rest = (u128::from(ticket) * total) >> 64;
    entries.iter().find(|entry| {
        let weight = u128::from(entry.weight);
        let hit = rest < weight;
        rest = rest.saturating_sub(weight);
        hit
    })
}

/// The bounds of how long a fault of this entry lasts, in nanoseconds. One whose kind has no `for` is over at once.
fn lasts(entry: &MixEntry) -> Result<(u64, u64), String> {
    let has_no_end = |kind: &FaultKind| kind.settings.iter().all(|setting| setting.name != "for");
    if faults::find(&entry.kind).is_some_and(has_no_end) {
        Ok((0, 0))
    } else {
        settings::for_range(&entry.params)
    }
}

/// Maps a random number evenly to `low..=high`.
fn scale(fraction: u64, low: u64, high: u64) -> u64 {
    let span = u128::from(high - low) + 1;
    // The product is below 2^64 * span, so the shifted value is below span and fits.
    low + ((u128::from(fraction) * span) >> 64) as u64
}
