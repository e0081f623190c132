//! Members that are taken out of the cluster and come back.
//!
//! Invariant: a change counts once a node that leads has it committed. Coming back is asked of every node until one of them
//! says so, so that it does not depend on who led when the member was removed.

use std::time::Duration;

use cluster::levers::{LeverError, Levers};
use cluster::order::{MemberChange, Order, Part};
use cluster::system::{NodeId, Role};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::fault::Injection;
use crate::moves::{list, together};
use crate::target::Undone;

/// How long the cluster may take until somebody carries a change out. Longer than several elections.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a removal that has begun may take until it is committed.
const COMMIT_LIMIT: Duration = Duration::from_secs(2);
/// Between two rounds of asking.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long a node may take over an answer about itself.
const LOOK_LIMIT: Duration = Duration::from_millis(250);

/// A member that is removed for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Which.
    pub node: NodeId,
    /// Who led when it was chosen.
    pub leader: NodeId,
}

/// Has the leader remove it, and waits until that is committed.
pub(crate) async fn remove(removed: &Removed, levers: &dyn Levers) -> Injection {
    let order = Order::Members(MemberChange::Remove { node: removed.node });
    let answer = match levers.order(removed.leader, order).await {
        Ok(answer) => answer,
        Err(error @ (LeverError::WrongState(_) | LeverError::Unsupported(_))) => {
            return Injection::Skipped(format!("{}: {error}", removed.leader));
        }
        Err(error) => return Injection::Indeterminate(format!("{}: {error}", removed.leader)),
    };
    let deadline = Instant::now() + COMMIT_LIMIT;
    loop {
        match leader(levers).await {
            Some((node, voters)) if !voters.contains(&removed.node) => {
                let voters = list(&voters);
                return Injection::installed(format!("{}: {answer}; {node} leads {voters}", removed.leader));
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            let why = format!("{answer}, but no leader has it committed within {COMMIT_LIMIT:?}");
            return Injection::Indeterminate(format!("{}: {why}", removed.leader));
        }
        sleep(INTERVAL).await;
    }
}

/// Has whoever leads add it again, until it has that committed. Asked again and again: there may be no leader for a while, the
/// removal may still be under way, and a change that has begun may be lost with its leader.
pub(crate) async fn add_again(removed: &Removed, levers: &dyn Levers) -> Result<Undone, String> {
    let deadline = Instant::now() + PATIENCE;
    let (mut begun, mut refused) = (String::new(), "no node leads".to_owned());
    loop {
        if let Some((node, voters)) = leader(levers).await {
            if voters.contains(&removed.node) {
                return Ok(Undone::new(format!("{} counts again, says {node}{begun}", removed.node)));
            }
            let order = Order::Members(MemberChange::Add { node: removed.node, part: Part::Voter });
            match levers.order(node, order).await {
                Ok(answer) => begun = format!(" ({node}: {answer})"),
                Err(error) => refused = format!("{node}: {error}"),
            }
        }
        if Instant::now() >= deadline {
            return Err(format!("nobody added {} again within {PATIENCE:?}; {refused}{begun}", removed.node));
        }
        sleep(INTERVAL).await;
    }
}

/// Who leads, and its voters, once they are committed. Of several who say that they lead, the one of the highest term: the
/// others were deposed and do not know of later changes.
async fn leader(levers: &dyn Levers) -> Option<(NodeId, Vec<NodeId>)> {
    let nodes = levers.nodes();
    let views = together(nodes.iter().map(|node| levers.look(*node, LOOK_LIMIT)).collect()).await;
    let leaders = nodes.into_iter().zip(views).filter_map(|(node, view)| Some((node, view?)));
    let leaders = leaders.filter(|(_, view)| view.role == Some(Role::Leader));
    let (node, view) = leaders.max_by_key(|(_, view)| view.term)?;
    let config = view.config.filter(|config| config.committed && config.outgoing.is_empty())?;
    Some((node, config.voters))
}
