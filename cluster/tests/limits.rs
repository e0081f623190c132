//! Limits on running nodes, as their processes meet them.

mod common;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cluster::cluster::Cluster;
use cluster::levers::{LeverError, Levers, NodeSignal, ProcessState};
use cluster::limits::{Duty, LimitState, Limits};
use cluster::system::NodeId;

use common::{Play, Scene, block_on, eventually, scripts, start};

fn main() -> ExitCode {
    common::main(&[
        Scene { name: "a_node_that_may_open_nothing_more_is_refused", play: Play::Inside(descriptors) },
        Scene { name: "a_few_descriptors_are_left_where_that_was_asked_for", play: Play::Inside(spare) },
        Scene { name: "a_starved_node_runs_for_its_share_only", play: Play::Inside(starve) },
        Scene { name: "limits_end_with_the_process", play: Play::Inside(restart) },
    ])
}

const N1: NodeId = NodeId(1);
const NONE: Limits = Limits { descriptors: None, duty: None };

/// Opens a file again and again, and says what came of it. Its log is its output: to put the output of one command elsewhere,
/// a shell needs a further descriptor itself.
const OPENER: &str = r#"
exec >>"$1/log"
: > "$1/ready"
while true
do
    if (exec 4</dev/null); then echo opened; else echo refused; fi
    sleep 0.01
done"#;

/// Holds as many files open as it can, one after the other, and says which numbers they have.
const HOARDER: &str = r#"
exec >>"$1/log"
: > "$1/ready"
until [ -e "$1/go" ]; do :; done
for number in 3 4 5 6 7 8
do
    if (eval "exec $number</dev/null")
    then eval "exec $number</dev/null"; echo "opened $number"
    else echo "refused $number"
    fi
done
echo over
while :; do :; done"#;

/// Counts as fast as it can, and says when its clock jumped: hundredths of a second by which it was late.
const COUNTER: &str = r#"
exec 3>>"$1/log"
: > "$1/ready"
read before rest < /proc/uptime
before=${before%.*}${before#*.}
while true
do
    read now rest < /proc/uptime
    now=${now%.*}${now#*.}
    [ $((now - before)) -ge 5 ] && echo "gap $((now - before))" >&3
    before=$now
done"#;

fn log(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("run/nodes/n1/data/log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The number of lines that begin so, among those behind the first `after`.
fn count(directory: &Path, after: usize, word: &str) -> usize {
    log(directory).iter().skip(after).filter(|line| line.starts_with(word)).count()
}

fn set(cluster: &Cluster, limits: Limits) -> LimitState {
    cluster.set_limits(N1, limits).unwrap();
    let state = cluster.limits(N1);
    assert_eq!(state.limits, limits);
    state
}

fn descriptors(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(scripts(OPENER, 1, directory)).await;
        eventually("it opens files", || count(directory, 0, "opened") > 3);
        let state = set(&cluster, Limits { descriptors: Some(0), ..NONE });
        assert!(state.open >= 3 && state.left == Some(0), "{state:?}");
        // The line of a file that was opened before may come after the limit, but only one.
        let limited = log(directory).len() + 1;
        eventually("it is refused", || count(directory, limited, "refused") > 3);
        assert_eq!(count(directory, limited, "opened"), 0);
        assert_eq!(set(&cluster, NONE), LimitState::default());
        let freed = log(directory).len() + 1;
        eventually("it opens files again", || count(directory, freed, "opened") > 3);
        assert_eq!(count(directory, freed, "refused"), 0);
    });
}

fn spare(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(scripts(HOARDER, 1, directory)).await;
        // 0, 1, 2 and two more.
        let state = set(&cluster, Limits { descriptors: Some(2), ..NONE });
        assert_eq!(state.left, Some(2), "{state:?}");
        fs::write(directory.join("run/nodes/n1/data/go"), "").unwrap();
        eventually("it has tried them all", || count(directory, 0, "over") == 1);
        assert_eq!(count(directory, 0, "opened"), 2, "{:?}", log(directory));
        assert_eq!(count(directory, 0, "refused"), 4, "{:?}", log(directory));
        assert_eq!(cluster.limits(N1).left, Some(0));
    });
}

fn starve(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(scripts(COUNTER, 1, directory)).await;
        let duty = Duty { run_us: 10_000, stop_us: 90_000 };
        set(&cluster, Limits { duty: Some(duty), ..NONE });
        let before = log(directory).len();
        // A gap that it notices is nearly as long as a stop: its clock has steps of 10 ms.
        let gaps =
            |line: &String| line.strip_prefix("gap ").is_some_and(|gap| gap.parse::<u32>().unwrap() >= 8);
        eventually("it notices 20 stops", || {
            log(directory).iter().skip(before).filter(|line| gaps(line)).count() >= 20
        });
        let state = cluster.limits(N1);
        assert!(state.stops >= 20 && state.stopped >= Duration::from_millis(20 * 90), "{state:?}");
        // However loaded this machine is, it never has more than its share. Its use is counted in two sums of 10 ms steps.
        assert!(state.used > Duration::ZERO, "{state:?}");
        assert!(state.used <= state.ran + Duration::from_millis(20), "{state:?}");
        // It counts as running all the while, unless it is paused, and a pause stays one.
        assert!((0..200).all(|_| cluster.process(N1) == ProcessState::Running));
        cluster.signal(N1, NodeSignal::Pause).await.unwrap();
        let stops = cluster.limits(N1).stops;
        eventually("it is stopped again", || cluster.limits(N1).stops > stops + 3);
        assert_eq!(cluster.process(N1), ProcessState::Paused);
        set(&cluster, NONE);
        assert_eq!(cluster.process(N1), ProcessState::Paused);
        cluster.signal(N1, NodeSignal::Resume).await.unwrap();
        assert_eq!(cluster.process(N1), ProcessState::Running);
    });
}

fn restart(directory: &Path) {
    block_on(async {
        let (cluster, mut exits) = start(scripts(COUNTER, 1, directory)).await;
        let limits = Limits { descriptors: Some(3), duty: Some(Duty { run_us: 5_000, stop_us: 5_000 }) };
        set(&cluster, limits);
        cluster.signal(N1, NodeSignal::Kill).await.unwrap();
        assert_eq!(exits.recv().await.unwrap().limits, limits);
        assert_eq!(cluster.limits(N1), LimitState::default());
        let down = cluster.set_limits(N1, limits);
        assert!(matches!(down, Err(LeverError::WrongState(_))), "{down:?}");
        Levers::start(&*cluster, N1).await.unwrap();
        assert_eq!((cluster.limits(N1), cluster.process(N1)), (LimitState::default(), ProcessState::Running));
        // The orderly end of a run does not wait for a turn.
        set(&cluster, limits);
        cluster.stop_all(Duration::from_secs(20)).await;
        assert_eq!(cluster.process(N1), ProcessState::Down);
    });
}
