//! What nodes held in memory while faults came and went, from the samples that the harness took of their processes.

use super::Window;
use crate::inside::memory::MemorySample;

/// The most that this node held at any moment of the window, or any node; `None` if nothing was sampled there.
pub(super) fn most(samples: &[MemorySample], node: Option<&str>, window: Window) -> Option<u64> {
    let within = samples.iter().filter(|sample| (window.from..=window.to).contains(&sample.t));
    let wanted = |name: &str| node.is_none_or(|node| node == name);
    within
        .flat_map(|sample| sample.resident.iter())
        .filter(|(name, _)| wanted(name))
        .map(|(_, bytes)| *bytes)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_that_of_the_window_and_of_the_node() {
        let sample = |t, held: &[(&str, u64)]| MemorySample {
            t,
            resident: held.iter().map(|(node, bytes)| ((*node).to_owned(), *bytes)).collect(),
        };
        let samples = [
            sample(10, &[("n1", 900), ("n2", 900)]),
            sample(20, &[("n1", 30), ("n2", 40)]),
            sample(30, &[("n1", 35)]),
            sample(41, &[("n1", 900), ("n2", 900)]),
        ];
        let window = Window { from: 11, to: 40 };
        assert_eq!(most(&samples, None, window), Some(40));
        assert_eq!(most(&samples, Some("n1"), window), Some(35));
        assert_eq!(most(&samples, Some("n3"), window), None);
        assert_eq!(most(&samples, None, Window { from: 42, to: 50 }), None);
    }
}
