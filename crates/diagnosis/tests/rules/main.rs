//! The rules from outside: facts in, reasons out.

mod any_facts;
mod build;
mod cards;
mod clues;
mod configuration;
mod databases;
mod document;
mod failure_classes;
mod instance;
mod probes;
mod properties;
mod world;
