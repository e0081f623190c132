//! Makes lines bad: late, lossy, repeating, out of order, damaging, slow; any of these at once, on all frames of the chosen
//! links.
//!
//! ```yaml
//! - network: { target: leader, delay: 40ms, jitter: 20ms, loss: 5%, reorder: 2%, for: 2s..6s }
//! ```
//!
//! * `delay` and `jitter`: every frame arrives later by `delay`, more or less `jitter`. Frames keep their order.
//! * `loss`: this share of the frames is lost. With `burst` above 1, losses come in rows of that many in the mean.
//! * `duplicate`: this share arrives twice.
//! * `reorder`: this share arrives up to 10 ms later than its place, and others overtake it.
//! * `corrupt`: in this share one bit of the payload changes, and no checksum below the program notices.
//! * `rate-kbit`: the line carries so many kilobits a second. What would wait for more than half a second is lost.
//!
//! Where none of these is given, lines are late: 50 ms, more or less 20 ms.
//!
//! The links are those of the nodes of `target` with the other nodes (`links: nodes`), with the clients (`links: clients`)
//! or both (`links: all`); `direction` says whether what they send or what they receive is treated so. A frame is what the
//! sender's kernel hands out: up to 64 KiB of a TCP stream, which TCP repeats, reorders and delivers once. So a lost or
//! repeated frame costs time, and only `corrupt` reaches a program that uses TCP.
//!
//! Overlapping faults add up: delays are summed, and a frame gets through where every one lets it. When the fault ends, what
//! waits on its links is delivered at that instant.
//!
//! The reader sees how many frames were dropped, delayed, duplicated, reordered and corrupted, on how many links. A fault
//! during which nobody used its links is reported as without effect.

use checker::params::{Kind, Params, Setting};
use cluster::levers::{Connections, Endpoint, Levers, Link, LinkRule, Shaping};
use cluster::system::{BoxFuture, NodeId};
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::lines::{Among, shape_lines};
use crate::moves::list;
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};
use crate::target::{Cut, Target};

const SHARE: Kind = Kind::Ratio;

const fn share(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, kind: SHARE, default: Some("0%"), doc }
}

pub(crate) const KIND: FaultKind = FaultKind {
    name: "network",
    summary: "Makes lines bad: delay, jitter, loss, duplicates, reordering, corruption, a low rate.",
    source: include_str!("network.rs"),
    settings: &[
        TARGET,
        FOR,
        Among::SETTING,
        Setting {
            name: "direction",
            kind: Kind::List(&Kind::Word(&["both", "outgoing", "incoming"])),
            default: Some("both"),
            doc: "What the target sends, what it receives, or both; each injection draws one of the list.",
        },
        Setting {
            name: "delay",
            kind: Kind::Duration,
            default: Some("0ms"),
            doc: "How much later frames arrive, at most 1m.",
        },
        Setting {
            name: "jitter",
            kind: Kind::Duration,
            default: Some("0ms"),
            doc: "By how much the delay differs from frame to frame, in both directions, at most 1m.",
        },
        share("loss", "The share of frames that are lost."),
        Setting {
            name: "burst",
            kind: Kind::Count { min: 1, max: 10_000 },
            default: Some("1"),
            doc: "How many frames in a row are lost, in the mean.",
        },
        share("duplicate", "The share of frames that arrive twice."),
        share("reorder", "The share of frames that others overtake."),
        share("corrupt", "The share of frames in which one bit of the payload changes unnoticed."),
        Setting {
            name: "rate-kbit",
            kind: Kind::Count { min: 0, max: 4_000_000 },
            default: Some("0"),
            doc: "How many kilobits a second the line carries; 0: any number.",
        },
    ],
    needs,
    build,
};

/// What is bad about a line of which nothing is said.
const LATE: Shaping = Shaping {
    delay_us: 50_000,
    jitter_us: 20_000,
    loss_ppm: 0,
    burst_frames: 1,
    duplicate_ppm: 0,
    reorder_ppm: 0,
    corrupt_ppm: 0,
    rate_kbit: 0,
    down_ms: 0,
    up_ms: 0,
    connections: Connections::Pass,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Both,
    Outgoing,
    Incoming,
}

struct Network {
    selector: Selector,
    among: Among,
    directions: Vec<Direction>,
    shape: Shaping,
}

fn needs(params: &Params) -> Needs {
    Needs { bad_lines: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let asked = read_shape(params)?;
    let is_perfect = asked == Shaping { burst_frames: asked.burst_frames, ..Shaping::default() };
    let shape = if is_perfect { Shaping { burst_frames: asked.burst_frames, ..LATE } } else { asked };
    if shape.burst_frames > 1 && shape.loss_ppm == 0 {
        return Err("`burst` is about lost frames, and `loss` is 0%".to_owned());
    }
    let among = Among::read(params, nodes)?;
    let directions: Vec<Direction> =
        settings::words(params, "direction")?.into_iter().map(read_direction).collect::<Result<_, _>>()?;
    if directions.is_empty() {
        return Err("`direction` is an empty list".to_owned());
    }
    Ok(Box::new(Network { selector: Selector::read(params, nodes)?, among, directions, shape }))
}

fn read_direction(word: &str) -> Result<Direction, String> {
    match word {
        "both" => Ok(Direction::Both),
        "outgoing" => Ok(Direction::Outgoing),
        "incoming" => Ok(Direction::Incoming),
        other => Err(format!("`direction` is `both`, `outgoing` or `incoming`, not `{other}`")),
    }
}

fn read_shape(params: &Params) -> Result<Shaping, String> {
    let micros = |name: &str| {
        let micros = settings::duration(params, name)?.as_micros();
        u32::try_from(micros)
            .ok()
            .filter(|micros| *micros <= 60_000_000)
            .ok_or_else(|| format!("`{name}` is at most 1m"))
    };
    let ppm = |name: &str| settings::ratio(params, name).map(|share| (share * 1e6).round() as u32);
    let count = |name: &str| {
        u32::try_from(settings::count(params, name)?).map_err(|_| format!("`{name}` is too large"))
    };
    Ok(Shaping {
        delay_us: micros("delay")?,
        jitter_us: micros("jitter")?,
        loss_ppm: ppm("loss")?,
        burst_frames: count("burst")?,
        duplicate_ppm: ppm("duplicate")?,
        reorder_ppm: ppm("reorder")?,
        corrupt_ppm: ppm("corrupt")?,
        rate_kbit: count("rate-kbit")?,
        ..Shaping::default()
    })
}

impl Network {
    fn links(&self, chosen: &[NodeId], all: &[NodeId], direction: Direction) -> Vec<Link> {
        let nodes = all.iter().map(|node| Endpoint::Node(*node));
        let others: Vec<Endpoint> = match self.among {
            Among::Nodes => nodes.collect(),
            Among::Clients => vec![Endpoint::Clients],
            Among::All => nodes.chain([Endpoint::Clients]).collect(),
        };
        let mut links = std::collections::BTreeSet::new();
        for node in chosen.iter().map(|node| Endpoint::Node(*node)) {
            for &other in others.iter().filter(|other| **other != node) {
                if direction != Direction::Incoming {
                    links.insert(Link { from: node, to: other });
                }
                if direction != Direction::Outgoing {
                    links.insert(Link { from: other, to: node });
                }
            }
        }
        links.into_iter().collect()
    }

    fn choose_cut(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Cut, String> {
        let chosen = self.selector.select(picture, rng)?;
        let direction = *self.directions.choose(rng).ok_or("no direction to draw from")?;
        let links = self.links(&chosen, &picture.ids(), direction);
        let way = match direction {
            Direction::Both => "to and from",
            Direction::Outgoing => "from",
            Direction::Incoming => "to",
        };
        let what = format!("{} {way} {}", in_words(&self.shape), list(&chosen));
        Ok(Cut { what, rules: links.into_iter().map(|link| (link, LinkRule::Shape(self.shape))).collect() })
    }
}

/// "40 ms delay ±20 ms, 5% loss".
fn in_words(shape: &Shaping) -> String {
    let millis = |micros: u32| f64::from(micros) / 1e3;
    let percent = |ppm: u32| f64::from(ppm) / 1e4;
    let mut words = Vec::new();
    if shape.delay_us > 0 || shape.jitter_us > 0 {
        let jitter =
            if shape.jitter_us > 0 { format!(" ±{} ms", millis(shape.jitter_us)) } else { String::new() };
        words.push(format!("{} ms delay{jitter}", millis(shape.delay_us)));
    }
    if shape.loss_ppm > 0 {
        let rows = if shape.burst_frames > 1 {
            format!(" in rows of {}", shape.burst_frames)
        } else {
            String::new()
        };
        words.push(format!("{}% loss{rows}", percent(shape.loss_ppm)));
    }
    let shares = [
        (shape.duplicate_ppm, "duplicates"),
        (shape.reorder_ppm, "reordered"),
        (shape.corrupt_ppm, "corrupted"),
    ];
    words.extend(
        shares.iter().filter(|(ppm, _)| *ppm > 0).map(|(ppm, word)| format!("{}% {word}", percent(*ppm))),
    );
    if shape.rate_kbit > 0 {
        words.push(format!("{} kbit/s", shape.rate_kbit));
    }
    words.join(", ")
}

impl Fault for Network {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.choose_cut(picture, rng) {
            Ok(cut) => Choice::Target(Target::Links(cut)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(shape_lines(target, levers))
    }
}
