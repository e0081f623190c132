//! Moving the levers of several nodes at once, and saying what came of it.
//!
//! A move that failed for every node because the cluster was not in the right state changed nothing, and the fault is
//! skipped. Anything else that is not a full success is indeterminate: a part may be in place.

use std::future::poll_fn;
use std::task::Poll;

use cluster::levers::{LeverError, Levers, NodeSignal, ProcessState};
use cluster::system::{BoxFuture, FileEdit, NodeId};

use crate::fault::{Injection, Installed};
use crate::target::{DiskEdited, DiskTroubled, Target};

/// Runs all of these at the same time and returns their results in their order.
pub(crate) async fn together<T: Send>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut slots: Vec<(BoxFuture<'_, T>, Option<T>)> =
        futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|context| {
        let mut all = Poll::Ready(());
        for (future, result) in slots.iter_mut().filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(value) => *result = Some(value),
                Poll::Pending => all = Poll::Pending,
            }
        }
        all
    })
    .await;
    slots.into_iter().filter_map(|(_, result)| result).collect()
}

/// Sends a signal to all of these nodes at once. `Err` is how the injection ended if that did not fully succeed.
pub(crate) async fn signal_all(
    nodes: &[NodeId],
    signal: NodeSignal,
    levers: &dyn Levers,
) -> Result<(), Injection> {
    let results = together(nodes.iter().map(|node| levers.signal(*node, signal)).collect()).await;
    let failed: Vec<(NodeId, LeverError)> =
        nodes.iter().zip(results).filter_map(|(node, result)| Some((*node, result.err()?))).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let untouched =
        |error: &LeverError| matches!(error, LeverError::WrongState(_) | LeverError::Unsupported(_));
    let nothing_happened = failed.len() == nodes.len() && failed.iter().all(|(_, error)| untouched(error));
    let why: Vec<String> = failed.iter().map(|(node, error)| format!("{node}: {error}")).collect();
    let why = why.join("; ");
    Err(if nothing_happened { Injection::Skipped(why) } else { Injection::Indeterminate(why) })
}

/// Checks that the kernel shows all of these nodes in this state. `Err` names those that it does not.
pub(crate) fn all_in(nodes: &[NodeId], state: ProcessState, levers: &dyn Levers) -> Result<(), Injection> {
    let others: Vec<String> = nodes
        .iter()
        .map(|node| (node, levers.process(*node)))
        .filter(|(_, found)| *found != state)
        .map(|(node, found)| format!("{node} is {found:?}, not {state:?}"))
        .collect();
    if others.is_empty() { Ok(()) } else { Err(Injection::Indeterminate(others.join(", "))) }
}

/// Kills these nodes and edits their files. Returns the proofs of the edits.
pub(crate) async fn kill_and_edit(nodes: &[NodeId], edit: &FileEdit, levers: &dyn Levers) -> Injection {
    if let Err(injection) = signal_all(nodes, NodeSignal::Kill, levers).await {
        return injection;
    }
    if let Err(injection) = all_in(nodes, ProcessState::Down, levers) {
        return injection;
    }
    let results = together(nodes.iter().map(|node| levers.edit(*node, edit.clone())).collect()).await;
    let (mut proofs, mut failed) = (Vec::new(), Vec::new());
    for (node, result) in nodes.iter().zip(results) {
        match result {
            Ok(proof) => proofs.push(format!("{node}: {proof}")),
            Err(error) => {
                failed.push(format!("{node} was killed, but its files could not be edited: {error}"))
            }
        }
    }
    if failed.is_empty() {
        return Injection::installed(proofs.join("; "));
    }
    failed.extend(proofs);
    Injection::Indeterminate(failed.join("; "))
}

/// Kills these nodes and edits their disks. Returns the proofs of the edits.
pub(crate) async fn kill_and_edit_disks(edited: &DiskEdited, levers: &dyn Levers) -> Injection {
    let nodes = &edited.nodes;
    if let Err(injection) = signal_all(nodes, NodeSignal::Kill, levers).await {
        return injection;
    }
    if let Err(injection) = all_in(nodes, ProcessState::Down, levers) {
        return injection;
    }
    let edit = |node: &NodeId| {
        // Each disk of its own, or all would lose the same pages.
        levers.edit_disk(*node, edited.edit.clone(), edited.seed.wrapping_add(node.0.into()))
    };
    let results = together(nodes.iter().map(edit).collect()).await;
    let (mut proofs, mut failed) = (Vec::new(), Vec::new());
    for (node, result) in nodes.iter().zip(results) {
        match result {
            Ok(proof) => proofs.push(format!("{node}: {proof}")),
            Err(error) => failed.push(format!("{node} was killed, but its disk is as it was: {error}")),
        }
    }
    if failed.is_empty() {
        return Injection::installed(proofs.join("; "));
    }
    failed.extend(proofs);
    Injection::Indeterminate(failed.join("; "))
}

/// Puts the disks of these nodes in trouble.
pub(crate) fn trouble_disks(troubled: &DiskTroubled, levers: &dyn Levers) -> Injection {
    let mut effective = None;
    for (done, node) in troubled.nodes.iter().enumerate() {
        match levers.set_disk(*node, troubled.trouble) {
            Ok(instant) => effective = Some(instant),
            Err(error @ (LeverError::WrongState(_) | LeverError::Unsupported(_))) if done == 0 => {
                return Injection::Skipped(error.to_string());
            }
            Err(error) => return Injection::Indeterminate(format!("{node}: {error}")),
        }
    }
    let proof = format!("the disks of {} obey", list(&troubled.nodes));
    Injection::Installed(Installed { proof, effective })
}

/// Tells the nodes of an order to carry it out. It has begun where a node said so; nothing was done where all refused.
pub(crate) async fn order(target: &Target, levers: &dyn Levers) -> Injection {
    let Target::Ordered(ordered) = target else {
        return Injection::Skipped(format!("{} is no order", target.describe()));
    };
    let asked = ordered.nodes.iter().map(|node| levers.order(*node, ordered.order.clone())).collect();
    let results = together(asked).await;
    let untouched = |result: &Result<String, LeverError>| {
        matches!(result, Err(LeverError::WrongState(_) | LeverError::Unsupported(_)))
    };
    let (nothing, all) = (results.iter().all(untouched), results.iter().all(Result::is_ok));
    let answers: Vec<String> = ordered
        .nodes
        .iter()
        .zip(results)
        .map(|(node, result)| match result {
            Ok(answer) => format!("{node}: {answer}"),
            Err(error) => format!("{node}: {error}"),
        })
        .collect();
    let answers = answers.join("; ");
    match (all, nothing) {
        (true, _) => Injection::installed(answers),
        (false, true) => Injection::Skipped(answers),
        (false, false) => Injection::Indeterminate(answers),
    }
}

/// "n1 n2 n5".
pub(crate) fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}
