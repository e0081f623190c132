//! The harness dies at any point of a run; a new one reads the ledger and brings the cluster back to its baseline.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use cluster::system::NodeId;
use nemesis::baseline::verify_baseline;
use nemesis::claims::FaultId;
use nemesis::fault::Choice;
use nemesis::ledger::{Entry, Ledger};
use nemesis::nemesis::{Nemesis, NemesisError};
use nemesis::stream::stream;
use nemesis::target::Target;

use crate::model::{Death, Model};
use crate::params::fault;

/// A file that takes so many bytes and then no more: the disk is full, or the writer is dead.
#[derive(Clone)]
struct File {
    content: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl File {
    fn with_room(room: usize) -> Self {
        Self { content: Arc::default(), room }
    }

    fn content(&self) -> Vec<u8> {
        self.content.lock().expect("no test panics under this lock").clone()
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.content.lock().expect("no test panics under this lock");
        let taken = bytes.len().min(self.room - content.len());
        content.extend_from_slice(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Overlapping faults of every kind. Each step begins or undoes one fault; a death in between is not noticed by
/// the script, whose later steps then do nothing.
const SCRIPT: &[(u64, Option<&str>)] = &[
    (1, Some("partition: { shape: ring }")),
    (2, Some("kill: { target: n2 }")),
    (3, Some("partition: { shape: isolate, target: n4, clients: with-majority }")),
    (1, None),
    (4, Some("pause: { target: n4 }")),
    (2, None),
    (5, Some("truncate-log: { target: n3 }")),
    (6, Some("partition: { shape: one-way }")),
    (3, None),
    (4, None),
    (7, Some("lose-vote: { target: n5 }")),
    (5, None),
    (8, Some("disk-error: { target: n1 }")),
    (9, Some("power-failure: { target: n4 }")),
    (8, None),
    (10, Some("disk-slow: { target: n1, hold: syncs }")),
];

async fn play(model: &Arc<Model>, file: &File) {
    let Ok(nemesis) = Nemesis::new(model.clone(), Box::new(file.clone())) else { return };
    for (id, entry) in SCRIPT {
        let id = FaultId(*id);
        let Some(entry) = entry else {
            drop(nemesis.undo(id).await);
            continue;
        };
        let fault = fault(entry, 5);
        let choice = fault.choose(&model.picture(nemesis.claims()), &mut stream(id.0, "target"));
        let Choice::Target(target) = choice else { continue };
        if nemesis.begin(id, "scripted", target).is_ok() {
            drop(nemesis.inject(id, fault.as_ref()).await);
        }
        if model.state().dead() {
            return;
        }
    }
}

/// A new harness takes over and heals.
async fn recover(model: &Arc<Model>, file: &File) -> nemesis::nemesis::Healed {
    model.state().death = None;
    let left = Ledger::read(file.content().as_slice()).expect("the ledger can be read").active;
    let nemesis =
        Nemesis::resume(model.clone(), Box::new(io::sink()), left).expect("a sink takes everything");
    nemesis.heal().await
}

#[tokio::test(start_paused = true)]
async fn after_death_at_any_lever_the_ledger_restores_the_baseline() {
    let whole = Arc::new(Model::new(5));
    play(&whole, &File::with_room(usize::MAX)).await;
    let moves = whole.state().moves;
    assert!(moves >= 14, "the script moved only {moves} levers");
    assert!(!verify_baseline(whole.as_ref()).is_empty(), "the script must end with faults in place");
    for death in (1..=moves).flat_map(|at| [Death::Before(at), Death::After(at)]) {
        let (model, file) = (Arc::new(Model::new(5)), File::with_room(usize::MAX));
        model.state().death = Some(death);
        play(&model, &file).await;
        let healed = recover(&model, &file).await;
        assert!(healed.broken.is_empty() && healed.differences.is_empty(), "{death:?}: {healed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_ledger_ends_at_any_byte_it_restores_the_baseline() {
    let file = File::with_room(usize::MAX);
    play(&Arc::new(Model::new(5)), &file).await;
    for room in 0..=file.content().len() {
        let (model, file) = (Arc::new(Model::new(5)), File::with_room(room));
        play(&model, &file).await;
        let healed = recover(&model, &file).await;
        assert!(healed.broken.is_empty() && healed.differences.is_empty(), "{room} bytes: {healed:?}");
    }
}

#[tokio::test]
async fn nothing_is_done_that_could_not_be_written_down() {
    let model = Arc::new(Model::new(3));
    let nemesis =
        Nemesis::new(model.clone(), Box::new(File::with_room(60))).expect("room for the first line");
    let begun = nemesis.begin(FaultId(1), "kill", Target::Down(vec![NodeId(1), NodeId(2)]));
    assert!(matches!(begun, Err(NemesisError::Ledger(_))), "{begun:?}");
    let injected = nemesis.inject(FaultId(1), fault("kill: {}", 3).as_ref()).await;
    assert!(matches!(injected, Err(NemesisError::NotActive(_))));
    assert_eq!(model.state().moves, 0);
    assert!(nemesis.heal().await.differences.is_empty());
}

#[tokio::test(start_paused = true)]
async fn healing_tries_again_and_reports_what_stays_broken() {
    let model = Arc::new(Model::new(5));
    let nemesis = Nemesis::new(model.clone(), Box::new(io::sink())).expect("a sink takes everything");
    for (id, node) in [(1, "n1"), (2, "n2")] {
        let entry = format!("kill: {{ target: {node} }}");
        let kill = fault(&entry, 5);
        nemesis.begin(FaultId(id), "kill", Target::Down(vec![NodeId(id as u16)])).expect("free");
        nemesis.inject(FaultId(id), kill.as_ref()).await.expect("begun");
    }
    model.state().failing_starts.extend([(NodeId(1), 2), (NodeId(2), 99)]);
    let healed = nemesis.heal().await;
    assert_eq!(healed.ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [FaultId(1)]);
    let [(entry, why)] = healed.broken.as_slice() else { panic!("{healed:?}") };
    assert_eq!(entry.id, FaultId(2));
    assert_eq!(why, "fault 2 could not be undone: n2: n2 does not start");
    assert_eq!(healed.differences.iter().map(ToString::to_string).collect::<Vec<_>>(), ["n2 is down"]);
    assert_eq!(nemesis.active().len(), 1, "it stays in the ledger");
}

#[test]
fn a_torn_line_in_the_middle_costs_only_itself() {
    let entry =
        |id| Entry { id: FaultId(id), fault: "kill".to_owned(), target: Target::Down(vec![NodeId(1)]) };
    let file = File::with_room(usize::MAX);
    let mut ledger = Ledger::new(Box::new(file.clone())).expect("room");
    ledger.begin(entry(1)).expect("room");
    ledger.begin(entry(2)).expect("room");
    ledger.end(FaultId(1)).expect("room");
    let mut content = file.content();
    let recovered = Ledger::read(content.as_slice()).expect("readable");
    assert_eq!((recovered.active, recovered.damaged), (vec![entry(2)], vec![]));
    // The second line, fault 1, is damaged: its end is then an end of nothing.
    let second = content.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    content[second] = b'?';
    let recovered = Ledger::read(content.as_slice()).expect("readable");
    assert_eq!((recovered.active, recovered.damaged), (vec![entry(2)], vec![2]));
}

#[test]
fn a_ledger_of_another_format_is_refused() {
    let error = Ledger::read(&b"{\"ledger\":{\"format\":9}}\n"[..]).expect_err("unknown format");
    assert!(error.to_string().contains("format 9"), "{error}");
}
