//! What `/proc` says about processes: states, groups, namespaces, memory.
//!
//! Invariant: a process that ends while it is looked at is simply not in the answer.
//! Reference: proc(5).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The process, or the thread.
    pub(crate) id: i32,
    /// `R`, `S`, `D`, `T`, `Z`...
    pub(crate) state: char,
    /// Its process group.
    pub(crate) group: i32,
}

/// All processes that this pid namespace shows.
pub(crate) fn processes() -> Vec<Stat> {
    numbers("/proc").into_iter().filter_map(|id| read_stat(&format!("/proc/{id}/stat"))).collect()
}

/// The threads of a process.
pub(crate) fn threads(process: i32) -> Vec<Stat> {
    let tasks = format!("/proc/{process}/task");
    numbers(&tasks).into_iter().filter_map(|id| read_stat(&format!("{tasks}/{id}/stat"))).collect()
}

/// One process, if it exists (also as a zombie).
pub(crate) fn process(id: i32) -> Option<Stat> {
    read_stat(&format!("/proc/{id}/stat"))
}

/// How long a process was on a processor, in user code and in the kernel.
pub(crate) fn processor_time(id: i32) -> Option<Duration> {
    parse_processor_time(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// How many bytes of a process lie in memory: its resident set.
pub(crate) fn resident_bytes(id: i32) -> Option<u64> {
    // SAFETY: sysconf only reads a number of the system.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    parse_resident_pages(&fs::read_to_string(format!("/proc/{id}/statm")).ok()?).map(|pages| pages * page)
}

/// The network namespace that a process is in; zombies are in none.
pub(crate) fn network_of(process: i32) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/net")).ok().map(|namespace| namespace.ino())
}

fn numbers(directory: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn read_stat(path: &str) -> Option<Stat> {
    parse_stat(&fs::read_to_string(path).ok()?)
}

/// The name of the program stands in parentheses and may hold anything, parentheses and newlines too.
fn parse_stat(line: &str) -> Option<Stat> {
    let id = line.split(' ').next()?.parse().ok()?;
    let mut fields = line[line.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some(Stat { id, state, group })
}

fn parse_resident_pages(line: &str) -> Option<u64> {
    line.split_whitespace().nth(1)?.parse().ok()
}

fn parse_processor_time(line: &str) -> Option<Duration> {
    let mut fields = line[line.rfind(')')? + 1..].split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // The kernel shows hundredths of a second to programs, whatever it counts in itself.
    Some(Duration::from_millis(ticks * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = parse_stat("17 (a) S 1 ) (\n) T 1 16 15 0 -1 4194560").unwrap();
        assert_eq!(stat, Stat { id: 17, state: 'T', group: 16 });
        assert_eq!(parse_stat("17 (cut"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn time_on_the_processor_is_the_sum_of_both_kinds() {
        let line = "17 (a) S 1 ) (\n) T 1 16 15 0 -1 4194560 5 6 7 8 31 12 99 98 20";
        assert_eq!(parse_processor_time(line), Some(Duration::from_millis(430)));
        assert_eq!(parse_processor_time("17 (a) T 1 16"), None);
        assert!(processor_time(std::process::id() as i32).is_some());
    }

    #[test]
    fn the_resident_set_grows_with_what_is_touched() {
        assert_eq!(parse_resident_pages("25000 700 500 3 0 900 0\n"), Some(700));
        assert_eq!(parse_resident_pages("25000"), None);
        let own = std::process::id() as i32;
        let before = resident_bytes(own).unwrap();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = resident_bytes(own).unwrap();
        assert!(after >= before + (48 << 20), "{before} to {after}, with {} bytes more", touched.len());
    }

    #[test]
    fn this_process_is_there() {
        let own = std::process::id() as i32;
        assert!(processes().iter().any(|stat| stat.id == own));
        assert_eq!(process(own).unwrap().id, own);
        assert!(threads(own).iter().any(|thread| thread.id == own));
        assert!(network_of(own).is_some());
    }
}
