//! The number of descriptors that the processes of a node may have.
//!
//! Invariant: only the soft limit moves, so that putting it back needs no privilege, and a process of the group that was
//! forked meanwhile gets back what its leader had.
//! The kernel's limit is on the *number* of a descriptor, not on how many there are: a process may still use numbers below it
//! that are free. So the limit is chosen at which exactly the wanted count of numbers is free.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use crate::process::NodeProcess;

/// What the soft limits were before they were lowered.
#[derive(Debug)]
pub(super) struct Lowered {
    before: BTreeMap<i32, u64>,
}

/// Lets each process of the group open so many descriptors more, and no others.
pub(super) fn lower(process: &NodeProcess, spare: u32) -> io::Result<Lowered> {
    let mut before = BTreeMap::new();
    for member in process.members() {
        let Some(open) = open_numbers(member) else { continue };
        let wanted = limit_for(&open, u64::from(spare));
        match change(member, |limit| limit.rlim_cur = wanted.min(limit.rlim_max)) {
            Ok(limit) => drop(before.insert(member, limit.rlim_cur)),
            Err(error) if gone(&error) => {}
            Err(error) => {
                let _ = Lowered { before }.restore(process);
                return Err(error);
            }
        }
    }
    if before.is_empty() {
        return Err(io::Error::other("none of its processes shows its descriptors"));
    }
    Ok(Lowered { before })
}

impl Lowered {
    /// Puts the limits back.
    pub(super) fn restore(&self, process: &NodeProcess) -> io::Result<()> {
        let of_leader = self.before.get(&process.id()).or(self.before.values().next()).copied();
        for member in process.members() {
            let Some(soft) = self.before.get(&member).copied().or(of_leader) else { continue };
            match change(member, |limit| limit.rlim_cur = soft.min(limit.rlim_max)) {
                Err(error) if !gone(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many descriptors the group has open, and how many more the process may open that may open the fewest.
pub(super) fn usage(process: &NodeProcess) -> (u64, Option<u64>) {
    let (mut all, mut left) = (0, None);
    for member in process.members() {
        let Some(open) = open_numbers(member) else { continue };
        let Ok(limit) = change(member, |_| {}) else { continue };
        all += open.len() as u64;
        let below = open.iter().filter(|number| **number < limit.rlim_cur).count() as u64;
        let free = limit.rlim_cur - below;
        left = Some(left.map_or(free, |least: u64| least.min(free)));
    }
    (all, left)
}

/// The highest limit below which exactly `spare` numbers are free: what the process closes below it can be used again.
fn limit_for(open: &[u64], spare: u64) -> u64 {
    let mut sorted = open.to_vec();
    sorted.sort_unstable();
    // Every open number that lies below the limit pushes it up by one.
    sorted.iter().fold(spare, |limit, number| if *number <= limit { limit + 1 } else { limit })
}

/// The numbers of the descriptors of a process; `None` if it has ended.
fn open_numbers(process: i32) -> Option<Vec<u64>> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let names = entries.map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    names.collect()
}

/// Reads the limit of a process, sets what the change makes of it, and returns what it was.
fn change(process: i32, change: impl FnOnce(&mut libc::rlimit)) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    prlimit(process, std::ptr::null(), &mut limit)?;
    let before = limit;
    change(&mut limit);
    if limit.rlim_cur != before.rlim_cur {
        prlimit(process, &limit, std::ptr::null_mut())?;
    }
    Ok(before)
}

fn prlimit(process: i32, new: *const libc::rlimit, old: *mut libc::rlimit) -> io::Result<()> {
    // SAFETY: each pointer is null or points to a limit of the caller that outlives the call.
    match unsafe { libc::prlimit(process, libc::RLIMIT_NOFILE, new, old) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_leaves_exactly_the_wanted_numbers_free() {
        for (open, spare, limit) in [
            (vec![0, 1, 2], 0, 3),
            (vec![0, 1, 2], 4, 7),
            (vec![2, 0, 1, 7, 5], 0, 3),
            (vec![2, 0, 1, 7, 5], 2, 6),
            (vec![2, 0, 1, 7, 5], 3, 8),
            (vec![2, 0, 1, 7, 5], 4, 9),
            (vec![], 0, 0),
        ] {
            let found = limit_for(&open, spare);
            let free = (0..found).filter(|number| !open.contains(number)).count() as u64;
            assert_eq!((found, free), (limit, spare), "{open:?}");
        }
    }

    #[test]
    fn the_own_limit_is_read() {
        let own = std::process::id() as i32;
        assert!(open_numbers(own).unwrap().contains(&0));
        let limit = change(own, |_| {}).unwrap();
        assert!(limit.rlim_cur > 0 && limit.rlim_cur <= limit.rlim_max);
        assert!(change(i32::MAX, |_| {}).is_err_and(|error| gone(&error)));
    }
}
