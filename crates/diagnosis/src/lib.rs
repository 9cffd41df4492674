//! The error reference: what was observed ([`facts`]) goes in, exactly one code with cause, evidence and next steps comes out.
//! Pure: no I/O, no clock.

pub mod facts;
