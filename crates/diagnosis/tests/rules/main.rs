//! The rules from outside: facts in, reasons out.

mod build;
mod cards;
mod document;
mod instance;
mod world;
