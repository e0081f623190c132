//! Which node a client turns to.
//!
//! Invariant: a call visits each node at most once without a hint, and follows a bounded number of hints, so that it
//! ends.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::system::NodeId;

/// How many hints one call follows.
const HINTS_MAX: u32 = 4;

/// The members as a client sees them, and the one that it turns to first.
#[derive(Debug)]
pub(super) struct Route {
    members: Vec<(NodeId, String)>,
    home: usize,
    first: AtomicUsize,
}

/// The way of one call.
#[derive(Debug)]
pub(super) struct Tour<'a> {
    route: &'a Route,
    at: usize,
    visited: Vec<bool>,
    hints_left: u32,
}

impl Route {
    /// Begins at `home`. The base of a node's URLs ends without a slash.
    pub(super) fn new(members: &[(NodeId, IpAddr)], home: NodeId, port: u16) -> Self {
        let base = |address: &IpAddr| format!("http://{}", std::net::SocketAddr::new(*address, port));
        let position = members.iter().position(|(id, _)| *id == home).unwrap_or(0);
        let members = members.iter().map(|(id, address)| (*id, base(address))).collect();
        Self { members, home: position, first: AtomicUsize::new(position) }
    }

    /// The way of a new call, from where the last one was answered.
    pub(super) fn tour(&self) -> Tour<'_> {
        self.tour_from(self.first.load(Ordering::Relaxed))
    }

    /// The way of a new call that begins at home, whoever answered the last one.
    pub(super) fn tour_from_home(&self) -> Tour<'_> {
        self.tour_from(self.home)
    }

    fn tour_from(&self, at: usize) -> Tour<'_> {
        let mut visited = vec![false; self.members.len()];
        if let Some(visited) = visited.get_mut(at) {
            *visited = true;
        }
        Tour { route: self, at, visited, hints_left: HINTS_MAX }
    }
}

impl Tour<'_> {
    /// Where the call is now.
    pub(super) fn node(&self) -> NodeId {
        self.route.members[self.at].0
    }

    /// The start of the URLs there.
    pub(super) fn base(&self) -> &str {
        &self.route.members[self.at].1
    }

    /// The node here answered: the next call begins here.
    pub(super) fn succeeded(&self) {
        self.route.first.store(self.at, Ordering::Relaxed);
    }

    /// The node here did not: the next call begins at home again.
    pub(super) fn failed(&self) {
        self.route.first.store(self.route.home, Ordering::Relaxed);
    }

    /// Goes to this node; false if the call has followed enough hints, or the hint leads nowhere new.
    pub(super) fn follow(&mut self, hint: NodeId) -> bool {
        let Some(to) = self.route.members.iter().position(|(id, _)| *id == hint) else { return false };
        if to == self.at || self.hints_left == 0 {
            return false;
        }
        self.hints_left -= 1;
        self.at = to;
        self.visited[to] = true;
        true
    }

    /// Goes to the next node that the call has not been to; false if there is none.
    pub(super) fn go_on(&mut self) -> bool {
        let count = self.visited.len();
        let next = (1..count).map(|step| (self.at + step) % count).find(|position| !self.visited[*position]);
        if let Some(next) = next {
            self.at = next;
            self.visited[next] = true;
        }
        next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(home: u16) -> Route {
        let members: Vec<_> = (1..=3).map(|n| (NodeId(n), IpAddr::from([10, 77, 0, n as u8]))).collect();
        Route::new(&members, NodeId(home), 7001)
    }

    #[test]
    fn a_tour_begins_at_home_and_visits_everybody_once() {
        let route = route(2);
        let mut tour = route.tour();
        assert_eq!((tour.node(), tour.base()), (NodeId(2), "http://10.77.0.2:7001"));
        assert!(tour.go_on());
        assert_eq!(tour.node(), NodeId(3));
        assert!(tour.go_on());
        assert_eq!(tour.node(), NodeId(1));
        assert!(!tour.go_on());
    }

    #[test]
    fn the_leader_is_remembered_until_it_fails() {
        let route = route(1);
        let mut tour = route.tour();
        assert!(tour.follow(NodeId(3)));
        tour.succeeded();
        assert_eq!(route.tour().node(), NodeId(3));
        route.tour().failed();
        assert_eq!(route.tour().node(), NodeId(1));
    }

    #[test]
    fn hints_in_a_circle_end() {
        let route = route(1);
        let mut tour = route.tour();
        let hints = (0..100).take_while(|i| tour.follow(NodeId(if i % 2 == 0 { 2 } else { 1 }))).count();
        assert_eq!(hints, HINTS_MAX as usize);
        assert!(!route.tour().follow(NodeId(9)));
        assert!(!route.tour().follow(NodeId(1)));
    }
}
