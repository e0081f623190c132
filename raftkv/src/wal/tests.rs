//! The log against a model: random batches, segments of every fill, and a crash at every byte.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::raft::io::{NodeId, PersistId};
use crate::raft::log::Payload;

const SMALL: Sizes = Sizes { first: 1024, max: 2048 };
const ROOMY: Sizes = Sizes { first: 64 << 10, max: 64 << 10 };

/// A directory in memory where there is one: these tests decide themselves what a crash leaves, and sync very often.
pub(super) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// The dumb twin: what the log holds, without any file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    pub(super) hard_state: HardState,
    pub(super) entries: Vec<Entry>,
    pub(super) boot: u64,
}

impl Model {
    pub(super) fn apply(&mut self, batch: &Persist) {
        if let Some(hard_state) = batch.hard_state {
            self.hard_state = hard_state;
        }
        batch.clone().write_to(&mut self.entries);
    }
}

impl From<Recovered> for Model {
    fn from(recovered: Recovered) -> Self {
        Self { hard_state: recovered.hard_state, entries: recovered.entries, boot: recovered.boot }
    }
}

/// One batch, before it is made to fit the log.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) vote: Option<(u64, Option<u16>)>,
    pub(super) remove: Option<usize>,
    pub(super) add: Vec<usize>,
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let vote = proptest::option::of((0..3u64, proptest::option::of(1..4u16)));
    let draft = (vote, proptest::option::of(0..4usize), proptest::collection::vec(0..300usize, 0..5));
    proptest::collection::vec(draft.prop_map(|(vote, remove, add)| Draft { vote, remove, add }), 1..30)
}

/// Makes a valid batch out of a draft.
pub(super) fn batch(draft: &Draft, number: usize, model: &Model) -> Persist {
    let term = model.hard_state.term + draft.vote.map_or(0, |(rise, _)| rise);
    let hard_state = draft.vote.map(|(_, vote)| HardState { term, voted_for: vote.map(NodeId) });
    let last = model.entries.last().map_or(0, |entry| entry.index);
    let truncate_from = draft.remove.map(|count| (last + 1).saturating_sub(count as u64).max(1));
    let mut entries = Vec::new();
    let first = truncate_from.unwrap_or(last + 1);
    for ((position, &len), index) in draft.add.iter().enumerate().zip(first..) {
        let payload = match len {
            0 => Payload::Noop,
            len => Payload::Command(vec![(number + position) as u8; len].into()),
        };
        entries.push(Entry { index, term: term.max(1), payload });
    }
    Persist { id: PersistId(number as u64 + 1), hard_state, truncate_from, entries, ..Persist::default() }
}

fn recovered(directory: &Path) -> Model {
    read(directory).unwrap().unwrap().into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is written in whatever groups, over however many segments and restarts, comes back.
    #[test]
    fn what_was_committed_comes_back(drafts in drafts(), group in 1..4usize, restart_every in 1..12usize) {
        let dir = scratch();
        let mut model = Model::default();
        let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
        let mut durable = model.clone();
        for (number, draft) in drafts.iter().enumerate() {
            let batch = batch(draft, number, &model);
            wal.stage(&batch);
            model.apply(&batch);
            if number % group == 0 {
                wal.commit().unwrap();
                durable = model.clone();
            }
            if number % restart_every == 0 {
                // Not committed: a crash here must lose exactly that.
                drop(wal);
                let (reopened, found) = Wal::open(dir.path(), SMALL).unwrap();
                wal = reopened;
                prop_assert_eq!(found.torn.clone(), None);
                prop_assert_eq!(Model::from(found), durable.clone());
                model = durable.clone();
                model.boot = wal.begin_boot().unwrap();
                durable = model.clone();
            }
        }
        wal.commit().unwrap();
        drop(wal);
        prop_assert_eq!(recovered(dir.path()), model);
    }

    /// An arbitrary single changed byte is either refused, or (in the last frame only) costs that frame.
    #[test]
    fn one_damaged_byte_is_never_read_as_data(at in 0..1200usize, flip in 1..=255u8) {
        let script = Script::write(ROOMY);
        let at = at % script.ends.last().unwrap();
        let mut bytes = script.bytes.clone();
        bytes[at] ^= flip;
        let dir = script.directory_with(&bytes);
        let last_start = script.ends[script.ends.len() - 2];
        match read(dir.path()) {
            Err(WalError::Corrupt { offset, .. }) => prop_assert!(at < last_start && offset as usize <= at),
            Ok(Some(found)) => {
                prop_assert!(at >= last_start);
                prop_assert!(found.torn.is_some());
                prop_assert_eq!(Model::from(found), script.states[script.states.len() - 2].clone());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Arbitrary bytes are refused or read, and never make it panic.
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), behind in any::<bool>()) {
        let mut segment = Vec::new();
        if behind {
            let start = SegmentStart { format: FORMAT, sequence: 1, continues: Continuity::Base };
            segment = head_frame(start, HardState::default(), 0, &[], 1);
        }
        segment.extend(&bytes);
        let dir = scratch();
        fs::write(segment::path(dir.path(), 1), &segment).unwrap();
        let _ = read(dir.path());
        // The same bytes as the payload of an honest frame reach the decoder of records.
        let mut frame = vec![0; frame::HEADER];
        frame.extend(&bytes);
        if !bytes.is_empty() {
            frame::seal(&mut frame, 2, 1);
            let start = SegmentStart { format: FORMAT, sequence: 1, continues: Continuity::Base };
            let mut segment = head_frame(start, HardState::default(), 0, &[], 1);
            segment.extend(frame);
            fs::write(segment::path(dir.path(), 1), &segment).unwrap();
            let _ = read(dir.path());
        }
    }
}

/// A fixed sequence of writes with the bytes and the state after each.
struct Script {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    /// The state once that frame is whole.
    states: Vec<Model>,
}

impl Script {
    fn write(sizes: Sizes) -> Self {
        let dir = scratch();
        let (mut wal, _) = Wal::open(dir.path(), sizes).unwrap();
        let mut model = Model::default();
        let (mut ends, mut states) = (vec![wal.offset as usize], vec![model.clone()]);
        model.boot = wal.begin_boot().unwrap();
        let mut note = |wal: &Wal, model: &Model| {
            ends.push(wal.offset as usize);
            states.push(model.clone());
        };
        note(&wal, &model);
        let drafts = [
            Draft { vote: Some((1, Some(2))), remove: None, add: vec![] },
            Draft { vote: None, remove: None, add: vec![0, 5, 40, 1] },
            Draft { vote: Some((2, None)), remove: Some(2), add: vec![100] },
            Draft { vote: None, remove: None, add: vec![9, 9, 9] },
            Draft { vote: Some((1, Some(3))), remove: Some(1), add: vec![] },
            Draft { vote: None, remove: None, add: vec![33, 256] },
        ];
        for (number, draft) in drafts.iter().enumerate() {
            let batch = batch(draft, number, &model);
            model.apply(&batch);
            wal.stage(&batch);
            wal.commit().unwrap();
            note(&wal, &model);
        }
        let path = wal.path();
        drop(wal);
        Self { bytes: fs::read(path).unwrap(), ends, states }
    }

    /// A data directory whose only segment has these bytes.
    fn directory_with(&self, bytes: &[u8]) -> TempDir {
        let dir = scratch();
        fs::write(segment::path(dir.path(), 1), bytes).unwrap();
        dir
    }

    /// The state that a crash leaves when the bytes before `cut` are durable.
    fn state_at(&self, cut: usize) -> Option<&Model> {
        let whole = self.ends.iter().filter(|&&end| end <= cut).count();
        whole.checked_sub(1).map(|at| &self.states[at])
    }

    /// The start of the frame that was being written at `cut`.
    fn frame_start(&self, cut: usize) -> usize {
        self.ends.iter().copied().rfind(|&end| end <= cut).unwrap_or(0)
    }

    /// The end of the frame that was being written at `cut`.
    fn frame_end(&self, cut: usize) -> usize {
        self.ends.iter().copied().find(|&end| end > cut).unwrap_or(cut)
    }
}

/// What the disk holds of the write under way.
#[derive(Clone, Copy, Debug)]
enum Torn {
    /// The file ends at the crash.
    Short,
    /// The rest of the pre-zeroed space is still zero.
    Zeros,
    /// The rest of the frame under way is something else.
    Garbage,
    /// The end of the frame arrived, its beginning did not.
    Reordered,
}

#[test]
fn a_crash_at_every_byte_leaves_the_last_whole_frame() {
    let script = Script::write(ROOMY);
    let written = *script.ends.last().unwrap();
    for cut in 0..=written {
        for torn in [Torn::Short, Torn::Zeros, Torn::Garbage, Torn::Reordered] {
            let mut bytes = script.bytes.clone();
            let (frame_end, start) = (script.frame_end(cut), script.frame_start(cut));
            bytes[frame_end..].fill(0);
            match torn {
                Torn::Short => bytes.truncate(cut),
                Torn::Zeros => bytes[cut..].fill(0),
                Torn::Garbage => bytes[cut..frame_end].iter_mut().for_each(|byte| *byte = !*byte),
                Torn::Reordered => bytes[start..cut].fill(0),
            }
            let dir = script.directory_with(&bytes);
            // Where what is missing was zero anyway, the whole frame is there.
            let whole = bytes.get(..frame_end) == script.bytes.get(..frame_end);
            let Some(expected) = script.state_at(if whole { frame_end } else { cut }) else {
                // The head of a segment is durable before its name is: this cannot come from a crash.
                assert!(read(dir.path()).is_err(), "cut at {cut}, {torn:?}");
                continue;
            };
            assert_recovers(&dir, expected, &format!("cut at {cut}, {torn:?}"));
        }
    }
}

/// Opening repairs, writing goes on, and the next start sees both.
fn assert_recovers(dir: &TempDir, expected: &Model, case: &str) {
    let (mut wal, found) = Wal::open(dir.path(), ROOMY).unwrap_or_else(|e| panic!("{case}: {e}"));
    let mut model = Model::from(found);
    assert_eq!(&model, expected, "{case}");
    model.boot = wal.begin_boot().unwrap();
    let more = batch(&Draft { vote: Some((1, Some(1))), remove: None, add: vec![3] }, 77, &model);
    wal.stage(&more);
    wal.commit().unwrap();
    model.apply(&more);
    drop(wal);
    let again = read(dir.path()).unwrap().unwrap();
    assert_eq!(again.torn, None, "{case}: the torn tail was repaired");
    assert_eq!(Model::from(again), model, "{case}");
}

#[test]
fn a_missing_or_swapped_segment_is_refused() {
    let dir = scratch();
    let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
    let mut model = Model::default();
    for number in 0..40 {
        let batch = batch(&Draft { vote: None, remove: None, add: vec![200] }, number, &model);
        model.apply(&batch);
        wal.stage(&batch);
        wal.commit().unwrap();
    }
    let last = wal.sequence;
    drop(wal);
    assert!(last >= 4, "the log spans segments");
    assert_eq!(recovered(dir.path()), model);
    let (second, third) = (segment::path(dir.path(), 2), segment::path(dir.path(), 3));
    let aside = dir.path().join("aside");

    fs::rename(&third, &aside).unwrap();
    let error = Wal::open(dir.path(), SMALL).unwrap_err();
    assert!(
        error.to_string().contains("not named like a segment") || error.to_string().contains("missing"),
        "{error}"
    );
    let elsewhere = scratch();
    fs::rename(&aside, elsewhere.path().join("aside")).unwrap();
    assert!(Wal::open(dir.path(), SMALL).unwrap_err().to_string().contains("segment 3 is missing"));

    fs::rename(&second, &third).unwrap();
    assert!(matches!(Wal::open(dir.path(), SMALL), Err(WalError::Corrupt { .. })));
}

#[test]
fn a_torn_frame_in_an_older_segment_is_corruption() {
    let dir = scratch();
    let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
    let mut model = Model::default();
    while wal.sequence < 3 {
        let batch = batch(&Draft { vote: None, remove: None, add: vec![200] }, 1, &model);
        model.apply(&batch);
        wal.stage(&batch);
        wal.commit().unwrap();
    }
    drop(wal);
    let path = segment::path(dir.path(), 2);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = Wal::open(dir.path(), SMALL).unwrap_err().to_string();
    assert!(error.contains("a later segment exists"), "{error}");
}

#[test]
fn an_entry_larger_than_a_segment_gets_a_segment_of_its_own() {
    let dir = scratch();
    let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
    let mut model = Model::default();
    for len in [10, 50_000, 10] {
        let batch = batch(&Draft { vote: None, remove: None, add: vec![len] }, 1, &model);
        model.apply(&batch);
        wal.stage(&batch);
        wal.commit().unwrap();
    }
    drop(wal);
    assert_eq!(recovered(dir.path()), model);
}

#[test]
fn after_a_failed_write_nothing_is_written() {
    let dir = scratch();
    let (mut wal, _) = Wal::open(dir.path(), ROOMY).unwrap();
    // A handle that cannot write stands for a disk that fails.
    let writable = std::mem::replace(&mut wal.file, File::open(segment::path(dir.path(), 1)).unwrap());
    let lost = batch(&Draft { vote: Some((1, None)), remove: None, add: vec![5] }, 1, &Model::default());
    wal.stage(&lost);
    assert!(matches!(wal.commit(), Err(WalError::Io { what: "write", .. })));
    wal.file = writable;
    wal.stage(&lost);
    assert!(matches!(wal.commit(), Err(WalError::Poisoned)));
    drop(wal);
    assert_eq!(recovered(dir.path()), Model::default());
}

#[test]
fn unfinished_segments_are_removed() {
    let dir = scratch();
    drop(Wal::open(dir.path(), SMALL).unwrap());
    let stray = segment::temporary_path(dir.path(), 2);
    fs::write(&stray, b"half").unwrap();
    drop(Wal::open(dir.path(), SMALL).unwrap());
    assert!(!stray.exists());
}

#[test]
fn a_format_of_the_future_is_refused() {
    let dir = scratch();
    let start = SegmentStart { format: FORMAT + 1, sequence: 1, continues: Continuity::Base };
    fs::write(segment::path(dir.path(), 1), head_frame(start, HardState::default(), 0, &[], 1)).unwrap();
    let error = Wal::open(dir.path(), SMALL).unwrap_err().to_string();
    assert!(error.contains("the format is 3"), "{error}");
}

#[test]
fn a_rewritten_log_replaces_the_old_one_and_survives_an_interruption() {
    let dir = scratch();
    let (mut wal, _) = Wal::open(dir.path(), SMALL).unwrap();
    let mut model = Model::default();
    for number in 0..30 {
        let batch = batch(&Draft { vote: Some((1, Some(1))), remove: None, add: vec![200] }, number, &model);
        model.apply(&batch);
        wal.stage(&batch);
        wal.commit().unwrap();
    }
    drop(wal);
    let first = fs::read(segment::path(dir.path(), 1)).unwrap();
    let mut contents = read(dir.path()).unwrap().unwrap();
    contents.entries.truncate(11);
    rewrite(dir.path(), &contents).unwrap();
    model.entries.truncate(11);
    assert_eq!(recovered(dir.path()), model);
    // The removal of the old segments was cut short: they are ignored, and gone after the next start.
    fs::write(segment::path(dir.path(), 1), first).unwrap();
    assert_eq!(recovered(dir.path()), model);
    let (wal, found) = Wal::open(dir.path(), SMALL).unwrap();
    assert_eq!(Model::from(found), model);
    drop(wal);
    assert!(!segment::path(dir.path(), 1).exists());
}

#[test]
fn bytes_behind_the_end_of_the_log_are_a_torn_tail() {
    let script = Script::write(ROOMY);
    let dir = script.directory_with(&script.bytes);
    let file = OpenOptions::new().write(true).open(segment::path(dir.path(), 1)).unwrap();
    let end = *script.ends.last().unwrap() as u64;
    file.write_all_at(b"stray", end + 512).unwrap();
    let found = read(dir.path()).unwrap().unwrap();
    assert_eq!(found.torn.as_ref().map(|torn| (torn.offset, torn.bytes)), Some((end, 517)));
    assert_eq!(&Model::from(found), script.states.last().unwrap());
}
