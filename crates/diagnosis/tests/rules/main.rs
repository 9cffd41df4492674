//! The rules from outside: facts in, reasons out.

mod build;
mod instance;
mod world;
