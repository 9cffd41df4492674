//! The app's host names and how far their setup is.

use jiff::Timestamp;

use crate::{
    Step,
    wire::{wire_object, wire_words},
};

wire_object! {
    #[schemars(rename = "AppDomain")]
    pub struct Domain {
        pub id: String,
        pub phase: DomainPhase,
        pub spec: mainstay_spec::Domain,
        pub progress: Option<DomainProgress>,
        pub validations: Vec<DomainValidation>,
        pub rotate_validation_records: bool,
        pub certificate_expires_at: Option<Timestamp>,
    }
}

wire_words! {
    pub enum DomainPhase {
        Unknown = "UNKNOWN",
        Pending = "PENDING",
        Configuring = "CONFIGURING",
        Active = "ACTIVE",
        Error = "ERROR",
    }
}

wire_object! {
    pub struct DomainProgress {
        pub steps: Vec<Step>,
    }
}

wire_object! {
    pub struct DomainValidation {
        pub txt_name: String,
        pub txt_value: String,
    }
}
