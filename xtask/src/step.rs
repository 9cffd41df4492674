//! Steps on the terminal: what is being done, and how long it took.

use std::time::Instant;

/// Does one step and says its time.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    println!("› {what}");
    let started = Instant::now();
    let done = work()?;
    println!("✔ {what} ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(done)
}
