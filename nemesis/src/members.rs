//! Members that are taken out of the cluster and come back.
//!
//! Invariant: coming back is asked of every node until one leads and agrees, so that it does not depend on who led when the
//! member was removed.

use std::time::Duration;

use cluster::levers::{LeverError, Levers};
use cluster::order::{MemberChange, Order, Part};
use cluster::system::NodeId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::fault::Injection;
use crate::target::Undone;

/// How long the cluster may take until somebody carries a change out. Longer than several elections.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two rounds of asking.
const INTERVAL: Duration = Duration::from_millis(50);

/// A member that is removed for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Which.
    pub node: NodeId,
    /// Who led when it was chosen.
    pub leader: NodeId,
}

/// Has the leader remove it.
pub(crate) async fn remove(removed: &Removed, levers: &dyn Levers) -> Injection {
    let order = Order::Members(MemberChange::Remove { node: removed.node });
    match levers.order(removed.leader, order).await {
        Ok(answer) => Injection::installed(format!("{}: {answer}", removed.leader)),
        Err(error @ (LeverError::WrongState(_) | LeverError::Unsupported(_))) => {
            Injection::Skipped(format!("{}: {error}", removed.leader))
        }
        Err(error) => Injection::Indeterminate(format!("{}: {error}", removed.leader)),
    }
}

/// Has whoever leads add it again. Asked again and again: there may be no leader for a while, the removal may still be under
/// way, and a change that nobody answered may have been carried out, after which the next one is refused for that reason.
pub(crate) async fn add_again(removed: &Removed, levers: &dyn Levers) -> Result<Undone, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::new();
    loop {
        for node in levers.nodes() {
            if is_voter(removed.node, node, levers).await {
                return Ok(Undone::new(format!("{} counts again, says {node}", removed.node)));
            }
            let order = Order::Members(MemberChange::Add { node: removed.node, part: Part::Voter });
            match levers.order(node, order).await {
                Ok(answer) => return Ok(Undone::new(format!("{node}: {answer}"))),
                Err(error) => last = format!("{node}: {error}"),
            }
        }
        if Instant::now() >= deadline {
            return Err(format!("nobody added {} again within {PATIENCE:?}; {last}", removed.node));
        }
        sleep(INTERVAL).await;
    }
}

/// Whether this node leads, and has the member among its voters, committed.
async fn is_voter(member: NodeId, at: NodeId, levers: &dyn Levers) -> bool {
    let Some(view) = levers.look(at, INTERVAL * 10).await else { return false };
    let leads = view.role == Some(cluster::system::Role::Leader);
    leads && view.config.is_some_and(|config| config.committed && config.voters.contains(&member))
}
