//! An account's limits: an addition, below `/v2/mainstay`.

use crate::wire::wire_object;

wire_object! {
    /// A resource of the account, with what all apps take of it.
    pub struct Limit {
        /// Whose: `account` or `node`, the machine.
        pub scope: String,
        /// `apps`, `instances`, `memory`, …
        pub resource: String,
        /// `count`, `bytes` or `cpu_millis`.
        pub unit: String,
        pub used: u64,
        /// Left out where there is none.
        pub limit: Option<u64>,
        /// Whether it is the account's own, not everybody's.
        pub overridden: bool,
    }
}

wire_object! {
    pub struct LimitsResponse {
        pub limits: Vec<Limit>,
    }
}
