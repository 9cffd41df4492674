//! A deployment once more: of the same commit, and of one changed file. Both sides count from the command until a visitor gets the new
//! instance's answer.

mod one_file;
mod stages;
mod unchanged;

pub(super) use one_file::run_section as one_file;
pub(super) use unchanged::run_section as unchanged;

const ROUNDS: usize = 7;
/// Of a decision that nothing has to be built.
const DECISION_MS_MOST: f64 = 20.0;
/// Of everything but the app's own build and its own start.
const OVERHEAD_MS_MOST: f64 = 250.0;
