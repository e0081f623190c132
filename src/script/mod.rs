//! The language of choreographies: steps, conditions, and what they are worth.
//!
//! Pure: from text to tree (`parse`), whether a tree makes sense (`check`), what it is worth (`eval`) in what is known
//! (`scene`), and the steps themselves (`model`, `operation`). The page for authors is docs/questions.md. Deliberately absent: reading of
//! suite files (`suite/decode/steps`), the order of steps in time (`director/script`), and doing anything (`inside/stage`).

pub mod check;
pub mod eval;
pub mod expr;
pub mod model;
pub mod operation;
pub mod parse;
pub mod scene;
