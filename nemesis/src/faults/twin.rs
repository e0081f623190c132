//! Starts a node a second time, on a host of its own, while the first one runs.
//!
//! ```yaml
//! - twin: { target: any, data: [shared, copy, empty], for: 1s..3s }
//! ```
//!
//! * `shared`: on the data directory of the first one, as by a supervisor that starts what runs already. A store locks it.
//! * `copy`: on a copy of its data, as by a machine that was restored from an image while the original lives. The node is killed
//!   for the copy and started again. Both have made the same promises and can make different ones from now on.
//! * `empty`: with nothing, as by a machine that was set up anew under a name that is in use.
//!
//! Each injection draws one of `data`. **Raft takes it for granted that this never happens**: members are known by their names, and
//! two that share one can vote for two candidates. A store that tells the directories behind the names apart survives it; the
//! bundled node does (`node_identity`). One that ends when it notices is right to, and that is not held against it.
//!
//! What the twin tells in its trace is judged as that of a process of its own ("n2 on n4"): it cannot know what the other one has
//! promised since. That two lead in one term, or that something is lost, is found all the same.
//!
//! Needs a spare host: `spares: 1` in `system`. It is at another address than the first one, so peers do not turn to it by
//! themselves; what it sends comes under the node's name.
//!
//! The reader sees whether the twin answered, or what it said when it ended, and whether it ran until the end.

use checker::params::{Kind, Params, Setting};
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};
use crate::target::Target;
use crate::twins::{Store, Twinned, start};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "twin",
    summary: "Starts a node a second time, on a spare host.",
    source: include_str!("twin.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "data",
            kind: Kind::List(&Kind::Word(&["shared", "copy", "empty"])),
            default: Some("shared"),
            doc: "What the second one has stored; each injection draws one of the list.",
        },
        FOR,
    ],
    needs,
    build,
};

struct TwinOf {
    selector: Selector,
    stores: Vec<Store>,
}

fn needs(params: &Params) -> Needs {
    Needs { spare: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let store = |word: &str| match word {
        "shared" => Ok(Store::Shared),
        "copy" => Ok(Store::Copy),
        "empty" => Ok(Store::Empty),
        other => Err(format!("`data` is `shared`, `copy` or `empty`, not `{other}`")),
    };
    let stores: Vec<Store> =
        settings::words(params, "data")?.into_iter().map(store).collect::<Result<_, _>>()?;
    if stores.is_empty() {
        return Err("`data` is an empty list".to_owned());
    }
    let selector = Selector::read(params, nodes)?;
    match selector {
        Selector::Majority | Selector::Minority | Selector::All => {
            Err("`target` is one node: `leader`, `follower`, `any`, or a name such as `n2`".to_owned())
        }
        _ => Ok(Box::new(TwinOf { selector, stores })),
    }
}

impl TwinOf {
    fn pair(&self, picture: &Picture, rng: &mut dyn Rng) -> Result<Twinned, String> {
        let chosen = self.selector.select(picture, rng)?;
        let node = *chosen.first().ok_or("no node was chosen")?;
        let store = *self.stores.choose(rng).ok_or("there is nothing that a twin could have stored")?;
        let free = picture.spares.iter().find(|host| picture.active.holder(**host).is_none());
        let host = *free.ok_or("no spare host is free")?;
        Ok(Twinned { parties: [node, host], store })
    }
}

impl Fault for TwinOf {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        match self.pair(picture, rng) {
            Ok(twinned) => Choice::Target(Target::Twinned(twinned)),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Twinned(twinned) => start(twinned, levers).await,
                other => Injection::Skipped(format!("{} is no twin", other.describe())),
            }
        })
    }
}
