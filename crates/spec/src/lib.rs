//! The app spec: types, parsing with positions, defaults and every validation error at once. Pure: no I/O.

pub mod ids;
pub mod kind;
