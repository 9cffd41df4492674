//! Room `deploy`; see ARCHITECTURE.md.
