//! A choreography as a list of instructions, so that any number of threads can stand anywhere in it.
//!
//! Invariant: every jump leads to an instruction or just behind the last one, which is the end.

use crate::script::expr::Text;
use crate::script::model::{Nodes, Script, Step, Verb};

/// A position in a program.
pub(super) type Pc = usize;

/// What a step is called in the story.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Title {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) label: Option<String>,
    pub(super) note: Option<String>,
    pub(super) within_ns: Option<u64>,
}

/// One instruction, with the number of its step.
#[derive(Clone, Debug)]
pub(super) struct Instruction {
    pub(super) step: usize,
    pub(super) what: What,
}

/// What an instruction does.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A verb that holds no steps.
    Do(Box<Verb>),
    /// Goes to `then` when the condition has held for so long, and to `otherwise` when the time is over.
    Wait { until: Text, hold_ns: u64, then: Pc, otherwise: Option<Pc> },
    /// Goes on if the condition holds, and ends the run if not.
    Demand(Text),
    /// Goes to one or the other.
    Decide { condition: Text, then: Pc, otherwise: Pc },
    /// Binds names.
    Let(Vec<(Vec<String>, Text)>),
    /// Begins a loop.
    Repeat { times: u64 },
    /// Ends a turn of a loop: goes back to `body`, or on.
    Again { until: Option<Text>, body: Pc },
    /// Collects the nodes of a loop.
    Each { nodes: Nodes },
    /// Binds the next of them, or goes to `end`.
    Next { name: String, end: Pc },
    /// Starts a thread at each of these and goes to `join` when all have ended.
    Fork { branches: Vec<Pc>, join: Pc },
    /// Ends a thread.
    End,
    /// Binds the arguments of a procedure.
    Enter { with: Vec<(String, Text)> },
    /// Forgets what was bound since.
    Leave,
    /// Goes elsewhere.
    Jump(Pc),
    /// A step that holds others is done.
    Mark,
}

/// A program.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    pub(super) instructions: Vec<Instruction>,
    pub(super) titles: Vec<Title>,
}

impl Program {
    /// Compiles a choreography.
    pub(super) fn of(script: &Script) -> Self {
        let mut program = Self::default();
        program.steps(&script.steps);
        let step = program.titles.len().saturating_sub(1);
        program.push(step, What::End);
        program
    }

    fn push(&mut self, step: usize, what: What) -> Pc {
        self.instructions.push(Instruction { step, what });
        self.instructions.len() - 1
    }

    fn here(&self) -> Pc {
        self.instructions.len()
    }

    fn steps(&mut self, steps: &[Step]) {
        steps.iter().for_each(|step| self.step(step));
    }

    fn step(&mut self, step: &Step) {
        let number = self.titles.len();
        self.titles.push(Title {
            line: step.line,
            text: step.text.clone(),
            label: step.label.clone(),
            note: step.note.clone(),
            within_ns: step.within_ns,
        });
        match &step.verb {
            Verb::Wait { until, hold_ns, then, otherwise } => {
                let wait =
                    |then, otherwise| What::Wait { until: until.clone(), hold_ns: *hold_ns, then, otherwise };
                let at = self.push(number, What::End);
                self.steps(then);
                let over = self.push(number, What::End);
                let other = otherwise.as_ref().map(|steps| {
                    let other = self.here();
                    self.steps(steps);
                    other
                });
                self.instructions[at].what = wait(at + 1, other);
                self.instructions[over].what = What::Jump(self.here());
            }
            Verb::Assert(condition) => drop(self.push(number, What::Demand(condition.clone()))),
            Verb::If { condition, then, otherwise } => {
                let at = self.push(number, What::End);
                self.steps(then);
                let over = self.push(number, What::End);
                let other = self.here();
                self.steps(otherwise);
                let condition = condition.clone();
                self.instructions[at].what = What::Decide { condition, then: at + 1, otherwise: other };
                self.instructions[over].what = What::Jump(self.here());
            }
            Verb::Let(bindings) => drop(self.push(number, What::Let(bindings.clone()))),
            Verb::Repeat { times, until, steps } => {
                let at = self.push(number, What::Repeat { times: *times });
                self.steps(steps);
                self.push(number, What::Again { until: until.clone(), body: at + 1 });
                self.push(number, What::Mark);
            }
            Verb::ForEach { name, nodes, steps } => {
                self.push(number, What::Each { nodes: nodes.clone() });
                let next = self.push(number, What::End);
                self.steps(steps);
                self.push(number, What::Jump(next));
                self.instructions[next].what = What::Next { name: name.clone(), end: self.here() };
                self.push(number, What::Mark);
            }
            Verb::Parallel(branches) => {
                let at = self.push(number, What::End);
                let mut starts = Vec::new();
                for branch in branches {
                    starts.push(self.here());
                    self.steps(branch);
                    self.push(number, What::End);
                }
                self.instructions[at].what = What::Fork { branches: starts, join: self.here() };
                self.push(number, What::Mark);
            }
            Verb::Call { with, steps } => {
                self.push(number, What::Enter { with: with.clone() });
                self.steps(steps);
                self.push(number, What::Leave);
                self.push(number, What::Mark);
            }
            leaf => drop(self.push(number, What::Do(Box::new(leaf.clone())))),
        }
    }
}
