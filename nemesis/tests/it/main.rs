//! The faults on a model of a cluster: no processes, no network, every state deterministic.

mod clocks;
mod crash;
mod examples;
mod faults;
mod model;
mod overlap;
mod params;
mod points;
mod schedule;
mod shapes;
