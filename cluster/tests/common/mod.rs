//! A test runner for scenes that play inside a sandbox.
//!
//! Each scene is played in processes of its own (this executable again), because a sandbox is entered by a process
//! with one thread. A scene that plays inside is played once as the caller and, if the caller is root, once more as
//! an ordinary user.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::client::Client;
use cluster::cluster::{Clocks, Cluster, ClusterOptions, Medium};
use cluster::network::NetworkKind;
use cluster::sandbox::{self, Entered};
use cluster::system::{
    BoxFuture, Capabilities, FileEdit, NodeCommand, NodeId, NodeSpec, System, Unavailable, View,
};

/// The user that stands for all ordinary ones.
const NOBODY: u32 = 65534;

/// The variable that names an executable with the subcommands `node` and `node-edit`.
const BUNDLED: &str = "RAFTCHECK_PROGRAM";

/// One test.
pub(crate) struct Scene {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it plays, and what.
    pub(crate) play: Play,
}

/// Where a scene plays.
#[allow(dead_code, reason = "not every test program has scenes of every kind")]
pub(crate) enum Play {
    /// As pid 1 of a sandbox, with a directory to write to.
    Inside(fn(&Path)),
    /// Outside, starting actors with a [`Stage`]. Played as the caller and as an ordinary user, too.
    Outside(fn(&Stage)),
    /// Inside, and only when an outside scene asks for it.
    Actor(fn(&Path)),
}

/// What an outside scene starts its actors with.
pub(crate) struct Stage {
    program: PathBuf,
    bundled: Option<PathBuf>,
    user: Option<u32>,
    /// A directory that the actor's user can write to; its name is unique on this host.
    pub(crate) directory: PathBuf,
}

impl Stage {
    /// A command that plays an actor in a sandbox.
    pub(crate) fn actor(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--play").arg(name).arg(&self.directory);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        if let Some(bundled) = &self.bundled {
            command.env(BUNDLED, bundled);
        }
        command
    }

    /// The user that actors run as.
    #[allow(dead_code, reason = "not every test program looks at owners")]
    pub(crate) fn user(&self) -> u32 {
        self.user.unwrap_or_else(|| nix::unistd::getuid().as_raw())
    }
}

/// Plays the scenes that the arguments select.
pub(crate) fn main(scenes: &[Scene]) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [flag, name, directory] = args.as_slice()
        && flag == "--play"
    {
        return play_inside(scenes, name.to_str().unwrap_or_default(), Path::new(directory));
    }
    let args: Vec<String> = args.iter().filter_map(|arg| arg.to_str().map(String::from)).collect();
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let selected =
        |scene: &&Scene| filters.is_empty() || filters.iter().any(|f| scene.name.contains(f.as_str()));
    let scenes = scenes.iter().filter(|scene| !matches!(scene.play, Play::Actor(_)));
    let selected: Vec<&Scene> = scenes.filter(selected).collect();
    if args.iter().any(|arg| arg == "--list") {
        for scene in selected {
            println!("{}: test", scene.name);
        }
        return ExitCode::SUCCESS;
    }
    run(&selected)
}

fn run(scenes: &[&Scene]) -> ExitCode {
    let mut users = vec![None];
    if nix::unistd::geteuid().is_root() {
        users.push(Some(NOBODY));
    } else {
        println!("NOT TESTED: the scenes as root (this is not root)");
    }
    println!("\nrunning {} tests", scenes.len() * users.len());
    let (mut passed, mut failed) = (0, 0);
    for scene in scenes {
        for user in &users {
            let started = Instant::now();
            let ok = play_once(scene, *user);
            let who = if user.is_some() { "nobody" } else { "caller" };
            let took = started.elapsed().as_millis();
            println!("test {} (as {who}) ... {} ({took} ms)", scene.name, if ok { "ok" } else { "FAILED" });
            *(if ok { &mut passed } else { &mut failed }) += 1;
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The example `commands` of the bundled store, which `cargo test --workspace` builds before any test starts. `None` if
/// the environment names another program, or if only this package was built.
fn built_beside_the_tests() -> Option<PathBuf> {
    if std::env::var_os(BUNDLED).is_some() {
        return None;
    }
    let tests = std::env::current_exe().expect("the current executable");
    let built = tests.parent()?.parent()?.join("examples/commands");
    built.is_file().then_some(built)
}

/// The bundled store, for the scenes with real nodes of it; without it they say that nothing is tested.
#[allow(dead_code, reason = "not every test program starts nodes")]
pub(crate) fn bundled_node() -> Option<PathBuf> {
    let named = std::env::var_os(BUNDLED).map(PathBuf::from);
    if named.is_none() {
        println!("    NOT TESTED: {BUNDLED} names no executable with the subcommand `node`");
    }
    named
}

fn play_once(scene: &Scene, user: Option<u32>) -> bool {
    let directory =
        tempfile::Builder::new().prefix("raftcheck-scene-").tempdir().expect("a temporary directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
    // The ordinary user may not be able to reach the place where cargo puts executables.
    let program = directory.path().join("program");
    std::fs::copy(std::env::current_exe().expect("the current executable"), &program)
        .expect("a copy of the program");
    let stage_directory = directory.path().join("stage");
    std::fs::create_dir(&stage_directory).expect("a directory");
    chown(&stage_directory, user, user).expect("chown");
    let bundled = built_beside_the_tests().map(|built| {
        let copy = directory.path().join("node");
        std::fs::copy(built, &copy).expect("a copy of the bundled node");
        copy
    });
    let stage = Stage { program, bundled, user, directory: stage_directory };
    match scene.play {
        Play::Outside(play) => std::panic::catch_unwind(|| play(&stage)).is_ok(),
        _ => stage.actor(scene.name).status().expect("the actor starts").success(),
    }
}

fn play_inside(scenes: &[Scene], name: &str, directory: &Path) -> ExitCode {
    match sandbox::enter() {
        Ok(Entered::Inside) => {}
        Ok(Entered::Outer(ended)) => return ExitCode::from(ended.code()),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(70);
        }
    }
    let scene = scenes.iter().find(|scene| scene.name == name).expect("a scene of this name");
    match scene.play {
        Play::Inside(play) | Play::Actor(play) => play(directory),
        Play::Outside(_) => panic!("{name} does not play inside"),
    }
    ExitCode::SUCCESS
}

/// Runs a future to its end on a small runtime.
#[allow(dead_code, reason = "not every test program needs a runtime")]
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Waits until a condition holds; panics with its name if it never does.
#[allow(dead_code, reason = "not every test program waits")]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A "store" whose nodes run a shell script. A node is ready once the script has made the file `ready` in its data
/// directory.
#[allow(dead_code, reason = "not every test program starts nodes")]
pub(crate) struct Script(pub &'static str);

/// A "store" whose nodes only sleep: a program that, unlike some shells, leaves its signal mask as it inherited it.
#[allow(dead_code, reason = "not every test program starts nodes")]
pub(crate) struct Sleeper;

impl System for Sleeper {
    fn name(&self) -> &'static str {
        "sleeper"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ops: &[],
            trace: false,
            edits: false,
            roles: false,
            orders: &[],
            write_modes: false,
            starts: false,
            returns: false,
        }
    }

    fn probe(&self) -> Result<String, Unavailable> {
        Ok("sleep".into())
    }

    fn command(&self, _: &NodeSpec) -> NodeCommand {
        NodeCommand { program: "sleep".into(), args: vec!["1000".into()], env: vec![] }
    }

    fn edit(&self, _: &NodeSpec, _: &FileEdit) -> Option<NodeCommand> {
        None
    }

    fn connect(&self, _: &[(NodeId, std::net::IpAddr)], _: NodeId, _: Duration) -> Arc<dyn Client> {
        unreachable!("a sleeper has no clients")
    }

    fn observe<'a>(&'a self, _: &'a NodeSpec, _: Duration) -> BoxFuture<'a, Option<View>> {
        Box::pin(async { Some(View::default()) })
    }
}

impl System for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ops: &[],
            trace: false,
            edits: true,
            roles: false,
            orders: &[],
            write_modes: false,
            starts: false,
            returns: false,
        }
    }

    fn probe(&self) -> Result<String, Unavailable> {
        Ok("sh".into())
    }

    fn command(&self, node: &NodeSpec) -> NodeCommand {
        let args = ["-c".into(), self.0.into(), "sh".into(), node.data_dir.clone().into_os_string()];
        NodeCommand {
            program: "/bin/sh".into(),
            args: args.into(),
            env: vec![("NODE".into(), node.id.to_string().into())],
        }
    }

    fn edit(&self, node: &NodeSpec, edit: &FileEdit) -> Option<NodeCommand> {
        let FileEdit::TruncateLog { entries } = edit else { return None };
        let script = format!("test -e {0}/ready && echo removed {entries}", node.data_dir.display());
        Some(NodeCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()], env: vec![] })
    }

    fn connect(&self, _: &[(NodeId, std::net::IpAddr)], _: NodeId, _: Duration) -> Arc<dyn Client> {
        unreachable!("a script has no clients")
    }

    fn observe<'a>(&'a self, node: &'a NodeSpec, _: Duration) -> BoxFuture<'a, Option<View>> {
        Box::pin(async move { node.data_dir.join("ready").exists().then(View::default) })
    }
}

/// Options for a cluster of scripts.
#[allow(dead_code, reason = "not every test program starts nodes")]
pub(crate) fn scripts(script: &'static str, nodes: u16, directory: &Path) -> ClusterOptions {
    ClusterOptions {
        system: Arc::new(Script(script)),
        nodes,
        spares: 0,
        network: NetworkKind::Switch,
        rules: Vec::new(),
        run_dir: directory.join("run"),
        medium: Medium::Disk,
        clocks: Clocks::Host,
        seed: 1,
        ready_timeout: Duration::from_secs(20),
    }
}

/// Starts a cluster of scripts, which must succeed.
#[allow(dead_code, reason = "not every test program starts nodes")]
pub(crate) async fn start(options: ClusterOptions) -> (Arc<Cluster>, Exits) {
    Cluster::start(options).await.unwrap_or_else(|error| panic!("{error}"))
}

/// What [`Cluster::start`] reports exits through.
pub(crate) type Exits = tokio::sync::mpsc::UnboundedReceiver<cluster::cluster::NodeExited>;
