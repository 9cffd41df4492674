//! The router's program.

fn main() {}
