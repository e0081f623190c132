//! A part of a budget, so that one hard question does not use up what others need.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::verdict::Budget;

/// Does some work that may look at its budget this often. Looks are counted, not time, so that what is decided within
/// a ration does not depend on the machine.
pub(super) fn with_ration<R>(budget: &Budget<'_>, looks: u64, work: impl FnOnce(&Budget<'_>) -> R) -> R {
    let left = AtomicU64::new(looks);
    let expired = || {
        let spent =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err();
        spent || (budget.expired)()
    };
    work(&Budget { expired: &expired, memory_bytes: budget.memory_bytes })
}
