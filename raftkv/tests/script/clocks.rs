//! Commands about reads and clocks.

use raftkv::raft::io::{Input, Micros, ReadAsk};
use raftkv::raft::rules::{ReadMode, Switch};

use super::{Outcome, Script, micros};

impl Script {
    /// `n1 mode=follower_local seen=4`: the nodes first.
    pub(super) fn read(&mut self, arguments: &[&str]) -> Outcome {
        let (options, nodes): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|word| word.contains('='));
        let mut ask = ReadAsk::default();
        for option in options {
            match option.split_once('=') {
                Some(("mode", mode)) => {
                    ask.mode = Some(ReadMode::parse(mode).ok_or(format!("read: there is no mode `{mode}`"))?);
                }
                Some(("seen", index)) => ask.seen = index.parse().map_err(|e| format!("{index}: {e}"))?,
                _ => return Err(format!("read: `{option}` is neither mode= nor seen=")),
            }
        }
        for id in self.targets(&nodes)? {
            let request = self.request("read");
            self.step(id, Input::Read { request, ask })?;
        }
        Ok(())
    }

    /// `n1 n2 rate=0.5` or `n1 set=-10s`.
    pub(super) fn set_clocks(&mut self, arguments: &[&str]) -> Outcome {
        let Some((change, nodes)) = arguments.split_last() else { return Err("clock: whose?".into()) };
        let now = Micros(self.now);
        for id in self.targets(nodes)? {
            let clocks = &mut self.node(id)?.clocks;
            match change.split_once('=') {
                Some(("rate", rate)) => {
                    let rate: f64 = rate.parse().map_err(|e| format!("{rate}: {e}"))?;
                    clocks.run_at(now, (rate * 1000.0).round() as u64);
                }
                Some(("set", by)) => {
                    let (sign, size) = by.strip_prefix('-').map_or((1, by), |size| (-1, size));
                    clocks.set_by(sign * micros(size)? as i64);
                }
                _ => return Err(format!("clock: `{change}` is neither rate= nor set=")),
            }
        }
        Ok(())
    }

    /// `n1 400ms`: the machine of n1 stands still for so long, and the others do not.
    pub(super) fn suspend(&mut self, arguments: &[&str]) -> Outcome {
        let [id, time] = arguments else { return Err("suspend: whose machine, and how long?".into()) };
        let (now, id) = (Micros(self.now), id.parse()?);
        self.node(id)?.clocks.suspend(now, micros(time)?);
        self.wait(&[time])
    }
}
