//! Edits of what a node that is down has stored.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::data;
use crate::disk::{DiskEdit, EditError};
use crate::edit::{DataEdit, FileEdit};
use crate::levers::{LeverError, no_disk};
use crate::system::NodeId;

use super::Cluster;
use super::node::Node;

impl Cluster {
    pub(super) async fn edit_the_disk(
        &self,
        id: NodeId,
        edit: &DiskEdit,
        seed: u64,
    ) -> Result<String, LeverError> {
        let node = self.node(id)?;
        let _changing = node.changing.lock().await;
        if !node.is_down().await {
            return Err(LeverError::WrongState(format!("{id} is not down")));
        }
        let disk = node.disk.as_ref().ok_or_else(|| no_disk(id))?;
        if let DiskEdit::PowerFailure { .. } = edit {
            // The memory of its kernel is gone as well: what sockets had not sent yet never arrives.
            self.network.lost_power(id)?;
        }
        disk.edit(edit, seed).map_err(|error| match error {
            EditError::Nothing(why) => LeverError::WrongState(why),
            EditError::Mount(_) => LeverError::Failed(error.to_string()),
        })
    }

    pub(super) async fn edit_files(&self, id: NodeId, edit: FileEdit) -> Result<String, LeverError> {
        let node = self.node(id)?;
        let _changing = node.changing.lock().await;
        if !node.is_down().await {
            return Err(LeverError::WrongState(format!("{id} is not down")));
        }
        let Some(command) = self.system.edit(&node.spec(&self.nodes), &edit) else {
            let message = format!("{} cannot change the files of a stopped node", self.system.name());
            return Err(LeverError::Unsupported(message));
        };
        let failed = |what: String| LeverError::Failed(format!("editing the files of {id}: {what}"));
        let mut program = Command::new(&command.program);
        program.args(&command.args).envs(command.env).stdin(Stdio::null()).process_group(0);
        let output = tokio::task::spawn_blocking(move || program.output()).await;
        let output = output.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}: {}", output.status, said.trim())));
        }
        if let Some(disk) = &node.disk {
            disk.make_durable();
        }
        let proof = String::from_utf8_lossy(&output.stdout);
        match proof.lines().next() {
            Some(line) if !line.trim().is_empty() => Ok(line.trim().to_owned()),
            _ => Err(failed("the command printed no proof that it did something".into())),
        }
    }

    /// Edits the data of a node that is down by its files alone. Two nodes are locked in the order of their numbers.
    pub(super) async fn edit_the_data(&self, id: NodeId, edit: DataEdit) -> Result<String, LeverError> {
        let node = self.node(id)?;
        let other = match &edit {
            DataEdit::Swap { with } if *with == id => {
                return Err(LeverError::WrongState(format!("{id} has its own data already")));
            }
            DataEdit::Swap { with } => Some(self.node(*with)?),
            _ => None,
        };
        let both = [Some(node), other];
        let mut held: Vec<&Node> = both.into_iter().flatten().collect();
        held.sort_by_key(|node| node.host());
        let mut locks = Vec::new();
        for node in &held {
            locks.push(node.changing.lock().await);
            if !node.is_down().await {
                return Err(LeverError::WrongState(format!("{} is not down", node.host())));
            }
        }
        let copies = match &edit {
            DataEdit::Restore { of: Some(of), .. } => &self.node(*of)?.copies,
            _ => &node.copies,
        };
        let places = data::Places {
            data: node.data_dir().to_owned(),
            copies: copies.clone(),
            other: other.map(|other| other.data_dir().to_owned()),
        };
        let done = tokio::task::spawn_blocking(move || data::edit(&places, &edit)).await;
        let proof =
            done.map_err(|error| LeverError::Failed(error.to_string()))?.map_err(|error| match error {
                data::DataError::Nothing(why) => LeverError::WrongState(format!("{id}: {why}")),
                data::DataError::Io { .. } => LeverError::Failed(format!("{id}: {error}")),
            })?;
        held.iter().filter_map(|node| node.disk.as_ref()).for_each(|disk| disk.make_durable());
        Ok(proof)
    }
}
