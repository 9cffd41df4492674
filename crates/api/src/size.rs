//! Instance sizes.

use mainstay_spec::sizes::{self, CpuType};

use crate::wire::{number_as_text, wire_words};

/// Numbers are strings on the wire.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct InstanceSize {
    pub name: String,
    pub slug: String,
    pub cpu_type: InstanceCpuType,
    #[serde(with = "number_as_text")]
    #[schemars(with = "String")]
    pub cpus: u64,
    #[serde(with = "number_as_text")]
    #[schemars(with = "String")]
    pub memory_bytes: u64,
    pub usd_per_month: String,
    pub usd_per_second: String,
    pub tier_slug: String,
    #[serde(with = "number_as_text")]
    #[schemars(with = "String")]
    pub bandwidth_allowance_gib: u64,
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub scalable: bool,
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub single_instance_only: bool,
    #[serde(skip_serializing_if = "crate::wire::is_zero")]
    pub deprecation_intent: bool,
}

wire_words! {
    pub enum InstanceCpuType {
        Unspecified = "UNSPECIFIED",
        Shared = "SHARED",
        Dedicated = "DEDICATED",
    }
}

crate::wire::wire_object! {
    pub struct InstanceSizesResponse {
        pub instance_sizes: Vec<InstanceSize>,
        pub discount_percent: f64,
    }
}

crate::wire::wire_object! {
    pub struct InstanceSizeResponse {
        pub instance_size: InstanceSize,
    }
}

impl InstanceSizesResponse {
    /// The sizes that are offered, without the older slugs that are still accepted.
    pub fn current() -> Self {
        let instance_sizes = sizes::ALL
            .iter()
            .filter(|size| !size.legacy)
            .map(InstanceSize::from)
            .collect();
        Self {
            instance_sizes,
            discount_percent: 0.0,
        }
    }
}

impl From<&sizes::InstanceSize> for InstanceSize {
    fn from(size: &sizes::InstanceSize) -> Self {
        let is_basic = size.single_instance_only || size.slug.starts_with("basic-");
        Self {
            name: name(size),
            slug: size.slug.into(),
            cpu_type: match size.cpu_type {
                CpuType::Shared => InstanceCpuType::Shared,
                CpuType::Dedicated => InstanceCpuType::Dedicated,
            },
            cpus: u64::from(size.cpu_millis / 1000),
            memory_bytes: size.memory_bytes,
            // One's own machine costs nothing more for them.
            usd_per_month: "0.00".into(),
            usd_per_second: "0.000000000000".into(),
            tier_slug: if is_basic { "basic" } else { "professional" }.into(),
            bandwidth_allowance_gib: u64::from(size.bandwidth_allowance_gib),
            scalable: size.scalable,
            single_instance_only: size.single_instance_only,
            deprecation_intent: size.legacy,
        }
    }
}

/// `Shared 1VCPU 0.5GB`.
fn name(size: &sizes::InstanceSize) -> String {
    let kind = match size.cpu_type {
        CpuType::Shared => "Shared",
        CpuType::Dedicated => "Dedicated",
    };
    let half_gibibytes = size.memory_bytes >> 29;
    let memory = if half_gibibytes == 1 {
        "0.5".to_owned()
    } else {
        (half_gibibytes / 2).to_string()
    };
    let fixed = if size.slug.ends_with("-fixed") {
        " Fixed"
    } else {
        ""
    };
    format!("{kind} {}VCPU {memory}GB{fixed}", size.cpu_millis / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_on_the_wire_has_its_numbers_as_strings() {
        let size = InstanceSizesResponse::current().instance_sizes.remove(1);
        let value = serde_json::to_value(&size).unwrap();
        assert_eq!(value["name"], "Shared 1VCPU 1GB Fixed");
        assert_eq!(value["memory_bytes"], "1073741824");
        assert_eq!(value["usd_per_second"], "0.000000000000");
        assert_eq!(value["single_instance_only"], true);
        assert_eq!(value.get("scalable"), None);
        assert_eq!(serde_json::from_value::<InstanceSize>(value).unwrap(), size);
    }
}
