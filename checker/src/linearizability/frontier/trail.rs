//! How configurations came about: a forest whose leaves they are, so that none carries its own history.

/// A call that took effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// A call that is not a blind write, by position.
    Call(u32),
    /// A blind write, by position.
    Write(u32),
    /// An unknown call of this kind.
    Unknown(u32),
    /// A write, by position, that took effect just before the last blind one.
    Hidden(u32),
}

/// See the module.
#[derive(Default)]
pub(super) struct Trail {
    nodes: Vec<(Entry, u32)>,
    /// At which size it is next worth it to look for branches that nobody stands on any more.
    next_sweep: usize,
}

/// The end of an empty trail.
pub(super) const START: u32 = u32::MAX;
const FIRST_SWEEP: usize = 1 << 16;

impl Trail {
    /// The end of a trail with one more entry.
    pub(super) fn extend(&mut self, from: u32, entry: Entry) -> u32 {
        self.nodes.push((entry, from));
        (self.nodes.len() - 1) as u32
    }

    /// The entries up to this end, the first one first.
    pub(super) fn entries(&self, mut end: u32) -> Vec<Entry> {
        let mut entries = Vec::new();
        while end != START {
            let (entry, before) = self.nodes[end as usize];
            entries.push(entry);
            end = before;
        }
        entries.reverse();
        entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<(Entry, u32)>()
    }

    /// Whether it has doubled since it was last swept.
    pub(super) fn is_due(&self) -> bool {
        self.nodes.len() >= self.next_sweep.max(FIRST_SWEEP)
    }

    /// Forgets what leads to none of these ends, and renames the ends.
    pub(super) fn sweep(&mut self, ends: &mut [&mut u32]) {
        let mut kept = vec![false; self.nodes.len()];
        for end in ends.iter() {
            let mut end = **end;
            while end != START && !std::mem::replace(&mut kept[end as usize], true) {
                end = self.nodes[end as usize].1;
            }
        }
        let mut moved = vec![START; self.nodes.len()];
        let mut len = 0;
        for at in (0..self.nodes.len()).filter(|&at| kept[at]) {
            let (entry, before) = self.nodes[at];
            // A node stands behind the one before it, which has moved already.
            let before = if before == START { START } else { moved[before as usize] };
            self.nodes[len] = (entry, before);
            moved[at] = len as u32;
            len += 1;
        }
        self.nodes.truncate(len);
        self.next_sweep = len * 2;
        for end in ends.iter_mut().filter(|end| ***end != START) {
            **end = moved[**end as usize];
        }
    }
}
