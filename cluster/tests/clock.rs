//! Clocks of a node's own, read from inside real processes.
//!
//! A probe prints what its clocks show beside CLOCK_MONOTONIC_RAW, which stays true, so that no comparison depends on when
//! a line was read. Bounds are wide: they tell a moved clock from a true one, not a fast host from a busy one.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use cluster::clock::{ClockFamily, ClockSetting, ClockShift, Strobe, TRUE_SPEED_PPM};
use cluster::cluster::{Clocks, Cluster, ClusterOptions};
use cluster::levers::{LeverError, Levers, NodeSignal, ProcessState};
use cluster::system::NodeId;

use common::{Play, Scene, block_on, eventually, scripts, start};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const SECOND: i64 = 1_000_000_000;
const MS: i64 = SECOND / 1_000;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--probe") {
        probe(&std::env::args().nth(2).unwrap_or_default());
    }
    common::main(&[
        Scene { name: "readings_follow_offset_and_speed", play: Play::Inside(readings_follow) },
        Scene { name: "a_frozen_clock_stands_still", play: Play::Inside(a_frozen_clock_stands_still) },
        Scene { name: "a_wall_clock_jumps_and_comes_back", play: Play::Inside(a_wall_clock_jumps) },
        Scene { name: "no_change_sends_a_monotonic_clock_back", play: Play::Inside(monotonic_stays_so) },
        Scene { name: "waits_go_by_the_clock_of_the_process", play: Play::Inside(waits_go_by_the_clock) },
        Scene { name: "clocks_reach_what_a_wrapper_starts", play: Play::Inside(wrappers) },
        Scene { name: "stops_and_kills_work_under_a_tracer", play: Play::Inside(stops_and_kills) },
        Scene { name: "exit_codes_pass_a_tracer", play: Play::Inside(exit_codes) },
        Scene { name: "clocks_outlive_a_restart", play: Play::Inside(clocks_outlive_a_restart) },
        Scene { name: "nodes_by_the_hosts_clocks_have_no_others", play: Play::Inside(no_clocks) },
        Scene { name: "python_and_java_are_reached", play: Play::Inside(foreign_programs) },
    ])
}

// ---- the probe ------------------------------------------------------------------------------------------------------

fn clock(id: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time.tv_sec * SECOND + time.tv_nsec
}

fn raw() -> i64 {
    clock(libc::CLOCK_MONOTONIC_RAW)
}

/// One line per reading, for ever; or what else it is asked for.
fn probe(what: &str) -> ! {
    match what {
        "spin" => spin(),
        "wait" => waits(),
        "exit" => std::process::exit(7),
        _ => {}
    }
    loop {
        let (before, mono, wall) = (raw(), clock(libc::CLOCK_MONOTONIC), clock(libc::CLOCK_REALTIME));
        let (boot, day, after) = (clock(libc::CLOCK_BOOTTIME), time_of_day(), raw());
        say(&format!("R {before} {mono} {wall} {boot} {day} {after}"));
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the log can be written");
}

fn time_of_day() -> i64 {
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the pointer is to a live timeval, and no time zone is asked for.
    unsafe { libc::gettimeofday(&raw mut time, std::ptr::null_mut()) };
    time.tv_sec * SECOND + time.tv_usec * 1000
}

/// Two threads that look for a monotonic clock that goes back.
fn spin() -> ! {
    let look = |ids: [libc::clockid_t; 3]| {
        let mut last = ids.map(clock);
        let mut readings = 0u64;
        loop {
            let now = ids.map(clock);
            if let Some(at) = (0..3).find(|at| now[*at] < last[*at]) {
                say(&format!("BACK clock {} by {} ns", ids[at], last[at] - now[at]));
            }
            last = now;
            readings += 1;
            if readings.is_multiple_of(100_000) {
                say(&format!("S {readings}"));
            }
        }
    };
    let ids = [libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME, libc::CLOCK_MONOTONIC_COARSE];
    std::thread::spawn(move || look(ids));
    look(ids)
}

/// Waits of 200 ms in every way, each with its length by the own clock and by the true one.
fn waits() -> ! {
    let length = Duration::from_millis(200);
    let (lock, never) = (Mutex::new(()), Condvar::new());
    let mut pair = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pair.as_mut_ptr()) }, 0);
    loop {
        let timed = |name: &str, wait: &dyn Fn()| {
            let (own, real) = (Instant::now(), raw());
            wait();
            say(&format!("W {name} {} {}", own.elapsed().as_nanos(), raw() - real));
        };
        timed("sleep", &|| std::thread::sleep(length));
        timed("condvar", &|| drop(never.wait_timeout(lock.lock().unwrap(), length).unwrap()));
        timed("park", &|| std::thread::park_timeout(length));
        timed("poll", &|| {
            let mut fd = libc::pollfd { fd: pair[0], events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            unsafe { libc::poll(&raw mut fd, 1, 200) };
        });
        timed("timerfd", &|| timerfd_wait(length));
        timed("epoll", &|| epoll_wait(200));
        timed("tokio", &|| block_on(async { tokio::time::sleep(length).await }));
        say("ROUND");
    }
}

fn timerfd_wait(length: Duration) {
    let end = clock(libc::CLOCK_MONOTONIC) + length.as_nanos() as i64;
    // SAFETY: all pointers are to live values; the descriptor is closed here.
    unsafe {
        let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, 0);
        let mut setting: libc::itimerspec = std::mem::zeroed();
        setting.it_value = libc::timespec { tv_sec: end / SECOND, tv_nsec: end % SECOND };
        libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const setting, std::ptr::null_mut());
        let mut count = 0u64;
        libc::read(fd, (&raw mut count).cast(), 8);
        libc::close(fd);
    }
}

fn epoll_wait(millis: i32) {
    // SAFETY: the event is live; the descriptor is closed here.
    unsafe {
        let fd = libc::epoll_create1(0);
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        libc::epoll_wait(fd, &raw mut event, 1, millis);
        libc::close(fd);
    }
}

// ---- what the probe said ----------------------------------------------------------------------------------------------

/// One line of the probe.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// The true time since boot, half-way through the reading, and how long the reading took.
    raw: i64,
    took: i64,
    mono: i64,
    wall: i64,
    boot: i64,
    day: i64,
}

fn lines(directory: &Path, node: NodeId) -> Vec<String> {
    let text = fs::read_to_string(directory.join("run/nodes").join(node.to_string()).join("stdout.log"));
    let text = text.unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

fn parse(line: &str) -> Option<Reading> {
    let numbers: Vec<i64> =
        line.strip_prefix("R ")?.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [before, mono, wall, boot, day, after] = numbers.try_into().ok()?;
    Some(Reading { raw: i64::midpoint(before, after), took: after - before, mono, wall, boot, day })
}

/// The next reading that was begun after this call.
fn next(directory: &Path, node: NodeId) -> Reading {
    begun_after(directory, node, raw())
}

/// A reading that was begun at least so many nanoseconds of true time after another, to tell a speed from both.
fn later(directory: &Path, node: NodeId, than: Reading, by: i64) -> Reading {
    begun_after(directory, node, than.raw + by)
}

/// A reading that was begun after this true time.
fn begun_after(directory: &Path, node: NodeId, from: i64) -> Reading {
    let mut found = None;
    eventually("a reading", || {
        // A reading in the middle of which the probe was off the processor says nothing exact.
        found = lines(directory, node)
            .iter()
            .rev()
            .filter_map(|line| parse(line))
            .find(|reading| reading.raw - reading.took > from && reading.took < 1_000_000);
        found.is_some()
    });
    found.unwrap()
}

/// The speed of a clock between two readings, relative to the true one.
fn speed(one: Reading, two: Reading, clock: fn(&Reading) -> i64) -> f64 {
    (clock(&two) - clock(&one)) as f64 / (two.raw - one.raw) as f64
}

fn probes(script: &'static str, nodes: u16, directory: &Path) -> ClusterOptions {
    // A name that the scripts can use: the program that plays this scene.
    fs::copy("/proc/self/exe", directory.join("probe")).expect("a copy of the probe");
    ClusterOptions { clocks: Clocks::PerNode, ..scripts(script, nodes, directory) }
}

/// The probe as a node: `$1` is the node's data directory, which lies four below the scene's.
const PROBE: &str = "touch $1/ready; exec $1/../../../../probe --probe read";

fn setting(shift: ClockShift, speed: f64) -> ClockSetting {
    let speed_ppm = (speed * f64::from(TRUE_SPEED_PPM)) as u32;
    ClockSetting { shift, speed_ppm, strobe: None }
}

/// Moves a clock and waits until the change is in effect, a fraction of a millisecond.
fn set(cluster: &Cluster, node: NodeId, family: ClockFamily, setting: ClockSetting) -> Instant {
    let instant = cluster.set_clock(node, family, &setting).unwrap_or_else(|error| panic!("{error}"));
    eventually("the instant of the change", || Instant::now() >= instant);
    instant
}

fn near(found: i64, expected: i64, bound: Duration) {
    let bound = bound.as_nanos() as i64;
    assert!((found - expected).abs() <= bound, "{found} is not {expected} within {bound}");
}

const CLOSE: Duration = Duration::from_millis(2);

// ---- the scenes -------------------------------------------------------------------------------------------------------

fn readings_follow(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(probes(PROBE, 2, directory)).await;
        let (first, other) = (next(directory, N1), next(directory, N2));
        let (host_wall, host_mono, host_raw) =
            (clock(libc::CLOCK_REALTIME), clock(libc::CLOCK_MONOTONIC), raw());
        near(first.mono - first.raw, host_mono - host_raw, CLOSE);
        near(first.wall - first.raw, host_wall - host_raw, CLOSE);
        assert!(!cluster.clock(N1, ClockFamily::Wall).unwrap().strobing);

        let begun = Instant::now();
        let hour = 3600 * SECOND;
        let instant = set(&cluster, N1, ClockFamily::Wall, setting(ClockShift::By(hour), 1.0));
        println!("    in effect {:?} after the call began", instant - begun);
        set(&cluster, N1, ClockFamily::Monotonic, setting(ClockShift::By(SECOND), 3.0));
        let one = next(directory, N1);
        near(one.wall - one.raw, first.wall - first.raw + hour, CLOSE);
        near(one.day - one.wall, 0, CLOSE);
        assert!(cluster.clock(N1, ClockFamily::Wall).unwrap().read);
        assert!(cluster.clock(N1, ClockFamily::Monotonic).unwrap().read);
        let two = later(directory, N1, one, 100 * MS);
        for of in [|reading: &Reading| reading.mono, |reading: &Reading| reading.boot] {
            let found = speed(one, two, of);
            assert!((2.9..3.1).contains(&found), "{found}");
        }
        assert!((0.97..1.03).contains(&speed(one, two, |reading| reading.wall)));
        assert!(two.mono - two.raw - (first.mono - first.raw) > SECOND);
        let state = cluster.clock(N1, ClockFamily::Monotonic).unwrap();
        assert_eq!(state.speed_ppm, 3_000_000);

        // Neither the other node nor the host noticed.
        let later = next(directory, N2);
        near(later.mono - later.raw, other.mono - other.raw, CLOSE);
        near(later.wall - later.raw, other.wall - other.raw, CLOSE);
        near(clock(libc::CLOCK_REALTIME) - raw(), host_wall - host_raw, CLOSE);
        near(clock(libc::CLOCK_MONOTONIC) - raw(), host_mono - host_raw, CLOSE);
        assert!(!cluster.clock(N2, ClockFamily::Wall).unwrap().strobing);
        assert_eq!(cluster.clock(N2, ClockFamily::Monotonic).unwrap().speed_ppm, TRUE_SPEED_PPM);
    });
}

fn a_frozen_clock_stands_still(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(probes(PROBE, 1, directory)).await;
        for family in [ClockFamily::Wall, ClockFamily::Monotonic] {
            set(&cluster, N1, family, setting(ClockShift::None, 0.0));
        }
        let one = next(directory, N1);
        let two = next(directory, N1);
        assert!(two.raw > one.raw);
        assert_eq!((one.mono, one.wall, one.boot), (two.mono, two.wall, two.boot));
        // The monotonic clock goes on where it stood.
        set(&cluster, N1, ClockFamily::Monotonic, ClockSetting::healed(ClockFamily::Monotonic));
        let three = next(directory, N1);
        let four = next(directory, N1);
        assert!(three.mono >= two.mono && three.mono - two.mono < three.raw - two.raw);
        near(four.mono - three.mono, four.raw - three.raw, CLOSE);
        assert!(cluster.clock(N1, ClockFamily::Monotonic).unwrap().offset_ns < 0);
    });
}

fn a_wall_clock_jumps(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(probes(PROBE, 1, directory)).await;
        let first = next(directory, N1);
        let offset = |reading: Reading| reading.wall - reading.raw - (first.wall - first.raw);
        set(&cluster, N1, ClockFamily::Wall, setting(ClockShift::By(-10 * SECOND), 1.0));
        near(offset(next(directory, N1)), -10 * SECOND, CLOSE);
        let strobe = Some(Strobe { period_ns: 20_000_000, by_ns: -SECOND });
        let flicker = ClockSetting { strobe, ..setting(ClockShift::ToTrue, 1.0) };
        set(&cluster, N1, ClockFamily::Wall, flicker);
        let is_near = |offset: i64, place: i64| (offset - place).abs() < 2_000_000;
        let mut places = [false; 2];
        eventually("both places of a strobe", || {
            let at = offset(next(directory, N1));
            places = [places[0] || is_near(at, 0), places[1] || is_near(at, -SECOND)];
            places == [true; 2]
        });
        set(&cluster, N1, ClockFamily::Wall, ClockSetting::healed(ClockFamily::Wall));
        for _ in 0..10 {
            near(offset(next(directory, N1)), 0, CLOSE);
        }
        near(cluster.clock(N1, ClockFamily::Wall).unwrap().offset_ns, 0, Duration::ZERO);
        let back = setting(ClockShift::By(-1), 1.0);
        let refused = cluster.set_clock(N1, ClockFamily::Monotonic, &back);
        assert!(matches!(refused, Err(LeverError::Unsupported(_))), "{refused:?}");
    });
}

fn monotonic_stays_so(directory: &Path) {
    const SPIN: &str = "touch $1/ready; exec $1/../../../../probe --probe spin";
    block_on(async {
        let (cluster, _exits) = start(probes(SPIN, 1, directory)).await;
        eventually("the probe runs", || lines(directory, N1).len() > 2);
        let speeds = [10.0, 0.0, 1.0, 0.001, 50.0, 0.5, 2.0];
        for round in 0..100 {
            set(
                &cluster,
                N1,
                ClockFamily::Monotonic,
                setting(ClockShift::None, speeds[round % speeds.len()]),
            );
        }
        let before = lines(directory, N1).len();
        eventually("the probe still runs", || lines(directory, N1).len() > before);
        let back: Vec<String> =
            lines(directory, N1).into_iter().filter(|line| line.starts_with("BACK")).collect();
        assert!(back.is_empty(), "{back:?}");
    });
}

fn waits_go_by_the_clock(directory: &Path) {
    const WAIT: &str = "touch $1/ready; exec $1/../../../../probe --probe wait";
    block_on(async {
        let (cluster, _exits) = start(probes(WAIT, 1, directory)).await;
        for speed in [1.0, 2.0, 0.5] {
            set(&cluster, N1, ClockFamily::Monotonic, setting(ClockShift::None, speed));
            // The round in which the change came is mixed.
            let from = lines(directory, N1).len();
            let is_round = |line: &&String| *line == "ROUND";
            let since = || lines(directory, N1).split_off(from);
            eventually("two rounds", || since().iter().filter(is_round).count() >= 2);
            let since = since();
            let mut rounds = since.split(|line| line == "ROUND");
            for line in rounds.nth(1).unwrap() {
                println!("    speed {speed}: {line}");
                let words: Vec<&str> = line.split(' ').collect();
                let number = |at: usize| words[at].parse::<f64>().unwrap() / 1e6;
                let (own, real) = (number(2), number(3));
                assert!((195.0..350.0).contains(&own), "at {speed}: {line}");
                let expected = 200.0 / speed;
                assert!((expected * 0.95..expected + 150.0).contains(&real), "at {speed}: {line}");
            }
        }
    });
}

fn wrappers(directory: &Path) {
    const WRAPPED: &str = "touch $1/ready; (/bin/sh -c \"/bin/sh -c 'exec $1/../../../../probe --probe read'; true\"; true) & wait";
    block_on(async {
        let (cluster, _exits) = start(probes(WRAPPED, 1, directory)).await;
        let first = next(directory, N1);
        set(&cluster, N1, ClockFamily::Wall, setting(ClockShift::By(SECOND), 1.0));
        let second = next(directory, N1);
        near(second.wall - second.raw, first.wall - first.raw + SECOND, CLOSE);
    });
}

fn stops_and_kills(directory: &Path) {
    const FAMILY: &str = "rm -f $1/ready; (setsid $1/../../../../probe --probe spin >/dev/null &); $1/../../../../probe --probe read & touch $1/ready; wait";
    block_on(async {
        let (cluster, mut exits) = start(probes(FAMILY, 2, directory)).await;
        for _ in 0..3 {
            next(directory, N1);
            cluster.signal(N1, NodeSignal::Pause).await.unwrap();
            assert_eq!(cluster.process(N1), ProcessState::Paused);
            let before = lines(directory, N1).len();
            next(directory, N2);
            assert_eq!(lines(directory, N1).len(), before, "a stopped process went on");
            assert_eq!(cluster.process(N1), ProcessState::Paused);
            cluster.signal(N1, NodeSignal::Resume).await.unwrap();
            assert_eq!(cluster.process(N1), ProcessState::Running);
            next(directory, N1);
        }
        for round in 0..4 {
            if round % 2 == 1 {
                cluster.signal(N1, NodeSignal::Pause).await.unwrap();
            }
            let begun = Instant::now();
            cluster.signal(N1, NodeSignal::Kill).await.unwrap();
            println!("    killed and reaped after {:?}", begun.elapsed());
            assert_eq!(cluster.process(N1), ProcessState::Down);
            assert_eq!(exits.recv().await.unwrap().asked, Some(NodeSignal::Kill));
            Levers::start(&*cluster, N1).await.unwrap();
            next(directory, N1);
        }
        for node in [N1, N2] {
            cluster.signal(node, NodeSignal::Kill).await.unwrap();
        }
        // Neither a process of a node nor a tracer is left.
        let left = fs::read_dir("/proc").unwrap().flatten();
        let left: Vec<String> = left.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let left: Vec<&String> =
            left.iter().filter(|name| name.parse::<u32>().is_ok_and(|id| id != 1)).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

fn exit_codes(directory: &Path) {
    const EXIT: &str =
        "touch $1/ready; while ! test -e $1/go; do sleep 0.01; done; $1/../../../../probe --probe exit";
    block_on(async {
        let (cluster, mut exits) = start(probes(EXIT, 1, directory)).await;
        fs::write(cluster.spec(N1).unwrap().data_dir.join("go"), "").unwrap();
        let exited = exits.recv().await.unwrap();
        assert_eq!((exited.status.code(), exited.asked), (Some(7), None));
    });
}

fn clocks_outlive_a_restart(directory: &Path) {
    block_on(async {
        let (cluster, _exits) = start(probes(PROBE, 1, directory)).await;
        let first = next(directory, N1);
        set(&cluster, N1, ClockFamily::Wall, setting(ClockShift::By(5 * SECOND), 1.0));
        cluster.signal(N1, NodeSignal::Kill).await.unwrap();
        Levers::start(&*cluster, N1).await.unwrap();
        let second = next(directory, N1);
        near(second.wall - second.raw, first.wall - first.raw + 5 * SECOND, CLOSE);
    });
}

fn no_clocks(directory: &Path) {
    block_on(async {
        let options = ClusterOptions { clocks: Clocks::Host, ..probes(PROBE, 1, directory) };
        let (cluster, _exits) = start(options).await;
        let refused = cluster.set_clock(N1, ClockFamily::Wall, &setting(ClockShift::By(SECOND), 1.0));
        assert!(matches!(refused, Err(LeverError::Unsupported(_))), "{refused:?}");
        assert_eq!(cluster.clock(N1, ClockFamily::Wall), None);
    });
}

/// Programs of other languages read the clock in ways of their own.
fn foreign_programs(directory: &Path) {
    const PYTHON: &str = "touch $1/ready; exec /usr/bin/python3 -u -c 'import time
while True:
    raw = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    a, b = time.monotonic_ns(), time.time_ns()
    print(\"R\", raw, a, b, a, b, time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW))
    time.sleep(0.002)'";
    const JAVA: &str = "cat > $1/P.java <<'END'
public class P {
    public static void main(String[] a) throws Exception {
        while (true) {
            long m = System.nanoTime(), w = System.currentTimeMillis() * 1000000;
            System.out.println(\"J \" + m + \" \" + w);
            System.out.flush();
            Thread.sleep(5);
        }
    }
}
END
touch $1/ready; exec java -Xint $1/P.java";
    let runs = |program: &str, argument: &str| {
        Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
    };
    block_on(async {
        if runs("/usr/bin/python3", "--version") {
            let (cluster, _exits) = start(probes(PYTHON, 1, directory)).await;
            let first = next(directory, N1);
            set(&cluster, N1, ClockFamily::Wall, setting(ClockShift::By(9 * SECOND), 1.0));
            set(&cluster, N1, ClockFamily::Monotonic, setting(ClockShift::None, 2.0));
            let one = next(directory, N1);
            near(one.wall - one.raw, first.wall - first.raw + 9 * SECOND, CLOSE);
            let found = speed(one, later(directory, N1, one, 50 * MS), |reading| reading.mono);
            assert!((1.8..2.2).contains(&found), "{found}");
            cluster.signal(N1, NodeSignal::Kill).await.unwrap();
        } else {
            println!("NOT TESTED: /usr/bin/python3 is not there");
        }
    });
    block_on(async {
        if runs("java", "--version") && runs("java", "--list-modules") {
            let place = directory.join("java");
            fs::create_dir(&place).unwrap();
            let (cluster, _exits) = start(probes(JAVA, 1, &place)).await;
            java(&cluster, &place);
        } else {
            println!("NOT TESTED: java is not there");
        }
    });
}

fn java(cluster: &Cluster, directory: &Path) {
    let last = || {
        let line = lines(directory, N1).into_iter().rev().find(|line| line.starts_with("J "))?;
        let mut numbers = line.split(' ').skip(1).filter_map(|word| word.parse::<i64>().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    if !(0..1500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        last().is_some()
    }) {
        println!("NOT TESTED: this java does not run source files\n{}", cluster.last_output(N1));
        return;
    }
    let (_, before) = last().unwrap();
    set(cluster, N1, ClockFamily::Wall, setting(ClockShift::By(3600 * SECOND), 1.0));
    eventually("java sees an hour more", || last().unwrap().1 - before >= 3600 * SECOND);
    set(cluster, N1, ClockFamily::Monotonic, setting(ClockShift::By(7200 * SECOND), 1.0));
    let (mono, _) = last().unwrap();
    eventually("java sees two hours more", || {
        last().unwrap().0 - mono >= 7100 * SECOND || mono > 7200 * SECOND
    });
    println!("    java was reached");
}
