//! What becomes of one frame on a link that is not perfect: pure, but for the state of the link and its random numbers.
//!
//! Invariants: frames of a link keep their order, also under jitter, except for those that are drawn to be reordered; what
//! is never drawn is never done, so a shape of zeroes is a perfect link.
//! Deliberately without a model of congestion: a rate with a queue that is full after [`QUEUE_MAX`] is what a slow cable
//! does, and TCP does the rest.
//! Reference: tc-netem(8) for the meaning of each figure; Gilbert, "Capacity of a Burst-Noise Channel", 1960, for
//! losses that come in bursts.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use crate::levers::Shaping;

/// A frame that would wait longer than this for its turn on a slow link is dropped.
const QUEUE_MAX: Duration = Duration::from_millis(500);
/// A frame that is reordered comes so much later, at most; others overtake it meanwhile.
const REORDER_US_MAX: u32 = 10_000;
/// Shares are counted in parts of this.
const WHOLE: u32 = 1_000_000;

/// What a link remembers of the frames before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    /// When the last frame that kept its place leaves.
    last: Option<Instant>,
    /// When a slow link has sent what it has taken.
    free: Option<Instant>,
    /// Whether losses go on.
    in_burst: bool,
    /// When the first frame came.
    since: Option<Instant>,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is gone.
    Lost,
    /// It goes on.
    Goes(Going),
}

/// How a frame goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Going {
    /// When it leaves; at once if that has passed.
    pub(super) due: Instant,
    /// Whether others may overtake it.
    pub(super) reordered: bool,
    /// Whether it arrives twice.
    pub(super) twice: bool,
    /// Whether a bit of what it carries changes.
    pub(super) corrupted: bool,
}

/// Draws what becomes of a frame of `bytes` that is taken up `now`.
pub(super) fn fate(
    shape: &Shaping,
    lane: &mut Lane,
    bytes: usize,
    now: Instant,
    random: &mut dyn Rng,
) -> Fate {
    if is_down(shape, lane, now) || loses(shape, lane, random) {
        return Fate::Lost;
    }
    let mut sent = now;
    if shape.rate_kbit > 0 {
        let free = lane.free.map_or(now, |free| free.max(now));
        if free.duration_since(now) > QUEUE_MAX {
            return Fate::Lost;
        }
        let bits = bytes as u64 * 8;
        sent = free + Duration::from_nanos(bits * 1_000_000 / u64::from(shape.rate_kbit));
        lane.free = Some(sent);
    }
    let shortest = shape.delay_us.saturating_sub(shape.jitter_us);
    let longest = shape.delay_us.saturating_add(shape.jitter_us);
    let delay = if longest > 0 { random.random_range(shortest..=longest) } else { 0 };
    let mut due = sent + Duration::from_micros(u64::from(delay));
    let reordered = draws(shape.reorder_ppm, random);
    if reordered {
        due += Duration::from_micros(u64::from(random.random_range(1..=REORDER_US_MAX)));
    } else {
        due = lane.last.map_or(due, |last| last.max(due));
        lane.last = Some(due);
    }
    let (twice, corrupted) = (draws(shape.duplicate_ppm, random), draws(shape.corrupt_ppm, random));
    Fate::Goes(Going { due, reordered, twice, corrupted })
}

/// Whether a line that flaps is in one of its deaths.
fn is_down(shape: &Shaping, lane: &mut Lane, now: Instant) -> bool {
    let since = *lane.since.get_or_insert(now);
    if shape.down_ms == 0 {
        return false;
    }
    let [up, down] = [shape.up_ms, shape.down_ms].map(|ms| Duration::from_millis(ms.into()));
    let phase = now.duration_since(since).as_nanos() % (up + down).as_nanos();
    phase >= up.as_nanos()
}

fn draws(ppm: u32, random: &mut dyn Rng) -> bool {
    ppm > 0 && random.random_range(0..WHOLE) < ppm
}

/// Gilbert's two states: in the bad one every frame is lost. Bursts have a mean length of `burst_frames`, and the share of
/// time in the bad state is that of the frames that are to be lost.
fn loses(shape: &Shaping, lane: &mut Lane, random: &mut dyn Rng) -> bool {
    if shape.loss_ppm == 0 {
        lane.in_burst = false;
        return false;
    }
    if shape.burst_frames <= 1 || shape.loss_ppm >= WHOLE {
        return draws(shape.loss_ppm, random);
    }
    let leave = f64::from(WHOLE) / f64::from(shape.burst_frames);
    let enter = leave * f64::from(shape.loss_ppm) / f64::from(WHOLE - shape.loss_ppm);
    let turns = if lane.in_burst { leave } else { enter };
    if draws(turns.min(f64::from(WHOLE)) as u32, random) {
        lane.in_burst = !lane.in_burst;
    }
    lane.in_burst
}

/// Changes one bit of what a TCP segment or a UDP datagram carries; false if it carries nothing. The checksum is left to
/// the receiver's kernel, which trusts what its own host sent, so that the error gets through to the program as one that
/// the checksum did not notice.
pub(super) fn corrupt(ethernet: &mut [u8], random: &mut dyn Rng) -> bool {
    let Some(payload) = payload(ethernet) else { return false };
    if payload.is_empty() {
        return false;
    }
    let bit = random.random_range(0..payload.len() * 8);
    payload[bit / 8] ^= 1 << (bit % 8);
    true
}

const ETHERNET_HEADER: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn payload(ethernet: &mut [u8]) -> Option<&mut [u8]> {
    let ip = ethernet.get_mut(ETHERNET_HEADER..)?;
    let length = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    let (header, protocol) = (usize::from(*ip.first()? & 0x0f) * 4, *ip.get(9)?);
    // What follows the packet is padding.
    let end = length.min(ip.len());
    let segment = ip.get_mut(header..end)?;
    let skip = match protocol {
        TCP => usize::from(*segment.get(12)? >> 4) * 4,
        UDP => 8,
        _ => return None,
    };
    segment.get_mut(skip..)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn play(shape: &Shaping, frames: usize, apart: Duration) -> Vec<Fate> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let (mut lane, start) = (Lane::default(), Instant::now());
        let mut one =
            |number: usize| fate(shape, &mut lane, 1000, start + apart * number as u32, &mut random);
        (0..frames).map(&mut one).collect()
    }

    fn share(fates: &[Fate], is: impl Fn(&Fate) -> bool) -> f64 {
        fates.iter().filter(|fate| is(fate)).count() as f64 / fates.len() as f64
    }

    #[test]
    fn a_shape_of_zeroes_does_nothing() {
        let now = Instant::now();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let going = Going { due: now, reordered: false, twice: false, corrupted: false };
        for bytes in [0, 64_000] {
            let fate = fate(&Shaping::default(), &mut Lane::default(), bytes, now, &mut random);
            assert_eq!(fate, Fate::Goes(going));
        }
    }

    #[test]
    fn shares_are_kept() {
        let shape = Shaping {
            loss_ppm: 100_000,
            duplicate_ppm: 200_000,
            reorder_ppm: 50_000,
            corrupt_ppm: 20_000,
            ..Shaping::default()
        };
        let fates = play(&shape, 100_000, Duration::from_millis(20));
        // Five standard deviations of the rarest are 0.0022.
        let near =
            |found: f64, expected: f64| assert!((found - expected).abs() < 0.007, "{found}, not {expected}");
        near(share(&fates, |fate| *fate == Fate::Lost), 0.1);
        near(share(&fates, |fate| matches!(fate, Fate::Goes(going) if going.twice)), 0.9 * 0.2);
        near(share(&fates, |fate| matches!(fate, Fate::Goes(going) if going.reordered)), 0.9 * 0.05);
        near(share(&fates, |fate| matches!(fate, Fate::Goes(going) if going.corrupted)), 0.9 * 0.02);
    }

    #[test]
    fn losses_come_in_bursts_of_the_mean_length() {
        let shape = Shaping { loss_ppm: 100_000, burst_frames: 8, ..Shaping::default() };
        let fates = play(&shape, 400_000, Duration::from_millis(1));
        let lost: Vec<bool> = fates.iter().map(|fate| *fate == Fate::Lost).collect();
        let share = lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let mean = lost.iter().filter(|lost| **lost).count() as f64 / bursts as f64;
        assert!((share - 0.1).abs() < 0.01 && (mean - 8.0).abs() < 0.8, "{share} lost, {mean} a burst");
    }

    #[test]
    fn a_flapping_line_lives_and_dies_by_turns() {
        let shape = Shaping { up_ms: 30, down_ms: 20, ..Shaping::default() };
        let fates = play(&shape, 100, Duration::from_millis(1));
        let lost = |number: usize| fates[number] == Fate::Lost;
        assert!((0..100).all(|number| lost(number) == (number % 50 >= 30)), "{fates:?}");
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = Shaping { delay_us: 5_000, jitter_us: 5_000, ..Shaping::default() };
        let dues = |shape: &Shaping| -> Vec<Instant> {
            let fates = play(shape, 1000, Duration::from_micros(100));
            fates
                .iter()
                .map(|fate| if let Fate::Goes(going) = fate { going.due } else { panic!("{fate:?}") })
                .collect()
        };
        assert!(dues(&jitter).is_sorted());
        let reorder = Shaping { reorder_ppm: 100_000, ..jitter };
        assert!(!dues(&reorder).is_sorted());
    }

    #[test]
    fn a_rate_spreads_frames_and_drops_what_would_wait_too_long() {
        // 1000 bytes at 8,000 kbit/s take a millisecond.
        let shape = Shaping { rate_kbit: 8_000, ..Shaping::default() };
        let fates = play(&shape, 1000, Duration::ZERO);
        let dues: Vec<Instant> = fates
            .iter()
            .filter_map(|fate| if let Fate::Goes(going) = fate { Some(going.due) } else { None })
            .collect();
        assert!((500..=502).contains(&dues.len()), "{}", dues.len());
        assert!(dues.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(1)));
    }

    #[test]
    fn a_corrupted_frame_differs_in_one_bit_of_what_it_carries() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut frame = vec![0_u8; ETHERNET_HEADER + 20 + 20 + 10 + 6];
        let ip = &mut frame[ETHERNET_HEADER..];
        ip[0] = 0x45;
        ip[3] = 50;
        ip[9] = TCP;
        ip[20 + 12] = 5 << 4;
        for _ in 0..100 {
            let mut changed = frame.clone();
            assert!(corrupt(&mut changed, &mut random));
            let differing: Vec<usize> = (0..frame.len()).filter(|&at| frame[at] != changed[at]).collect();
            let [at] = differing[..] else { panic!("{differing:?}") };
            assert!((54..64).contains(&at), "byte {at} is no payload");
            assert_eq!((frame[at] ^ changed[at]).count_ones(), 1);
        }
        for length in 0..54 {
            assert!(!corrupt(&mut frame[..length].to_vec(), &mut random), "{length}");
        }
        let mut other = frame.clone();
        other[ETHERNET_HEADER + 9] = 1;
        assert!(!corrupt(&mut other, &mut random), "ICMP");
    }
}
