//! Regions.

use crate::wire::wire_object;

wire_object! {
    pub struct Region {
        pub slug: String,
        pub label: String,
        pub flag: String,
        pub continent: String,
        pub disabled: bool,
        pub data_centers: Vec<String>,
        pub reason: String,
        pub default: bool,
    }
}

wire_object! {
    pub struct RegionsResponse {
        pub regions: Vec<Region>,
    }
}
