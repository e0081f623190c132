//! What stands for the clocks of a node where this program cannot replace the clock functions of another.

use std::io;
use std::time::Instant;

use super::{ClockFamily, ClockSetting, ClockState};
use crate::levers::LeverError;

const WHY: &str = "a node can have clocks of its own on x86-64 only";

/// Never made.
#[derive(Debug)]
pub struct NodeClock(std::convert::Infallible);

/// Never started.
#[derive(Debug)]
pub(crate) struct Tracer(std::convert::Infallible);

/// Never opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door(std::convert::Infallible);

impl NodeClock {
    /// Says why there are none.
    pub fn new() -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, WHY))
    }

    /// Says why there are none.
    pub fn trial() -> Result<super::Trial, String> {
        Err(WHY.to_owned())
    }

    pub(crate) fn tracer(&self) -> io::Result<Tracer> {
        match self.0 {}
    }

    /// Never called.
    pub fn set(&self, _: ClockFamily, _: &ClockSetting) -> Result<Instant, LeverError> {
        match self.0 {}
    }

    /// Never called.
    pub fn state(&self, _: ClockFamily) -> ClockState {
        match self.0 {}
    }

    /// Never called.
    pub fn patch_time(&self) -> std::time::Duration {
        match self.0 {}
    }

    /// Never called.
    pub fn programs(&self) -> u64 {
        match self.0 {}
    }

    /// Never called.
    pub fn translated_waits(&self) -> u64 {
        match self.0 {}
    }
}

/// Never counted.
#[derive(Debug)]
pub(crate) struct StoppedThreads(std::convert::Infallible);

impl StoppedThreads {
    pub(crate) fn count(&self) -> usize {
        match self.0 {}
    }
}

impl Tracer {
    pub(crate) fn stopped(&self) -> StoppedThreads {
        match self.0 {}
    }

    pub(crate) fn door(&self) -> Option<Door> {
        match self.0 {}
    }

    pub(crate) fn close_door(&mut self) {
        match self.0 {}
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        match self.0 {}
    }
}

impl Door {
    pub(crate) fn enter(self) -> io::Result<()> {
        match self.0 {}
    }
}

/// Says why there is nothing to measure.
pub fn reading_cost_ns() -> io::Result<(f64, f64)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, WHY))
}
