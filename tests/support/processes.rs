//! Which processes belong to a run, and whether anything of it is left, as the kernel tells in `/proc`.
//!
//! A process is ours if it descends from one of ours, runs our copy of the program, or has our marker in its arguments
//! or its environment. Names are never used: other runs of raftcheck may go on on the same machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A process that cannot be confused with a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot.
    pub started: u64,
    pub arguments: String,
}

/// Everything that is running and not a zombie.
pub fn all() -> Vec<(Process, i32)> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| read(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// A process and its parent; `None` if it is gone or a zombie.
fn read(pid: i32) -> Option<(Process, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may itself hold any of what follows.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    let (parent, started) = (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
    Some((Process { pid, started, arguments }, parent))
}

/// The descendants of a process, without itself.
pub fn descendants(of: i32) -> BTreeSet<Process> {
    let all = all();
    let mut found = BTreeSet::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for (process, _) in all.iter().filter(|(_, its)| *its == parent) {
            if found.insert(process.clone()) {
                parents.push(process.pid);
            }
        }
    }
    found
}

/// The processes that run the program at this path, or bear the marker in arguments or environment.
pub fn marked(program: &Path, marker: &str) -> BTreeSet<Process> {
    let bears = |process: &Process| {
        let pid = process.pid;
        let runs = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        runs || process.arguments.contains(marker) || holds(&environment, marker.as_bytes())
    };
    let own = i32::try_from(std::process::id()).expect("a process id");
    all()
        .into_iter()
        .map(|(process, _)| process)
        .filter(|process| process.pid != own && bears(process))
        .collect()
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The network namespace of a process.
pub fn network_namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

/// The network namespaces that some process is in.
pub fn network_namespaces() -> BTreeSet<PathBuf> {
    all().into_iter().filter_map(|(process, _)| network_namespace(process.pid)).collect()
}

/// The mount points of this process, as the kernel lists them.
pub fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    text.lines().map(str::to_owned).collect()
}

/// The network interfaces of this host.
pub fn interfaces() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/net").expect("/sys/class/net");
    entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect()
}
