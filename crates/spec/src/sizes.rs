//! The instance sizes that a component can have.

/// What one instance of a component may use. On one's own machine it costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceSize {
    pub slug: &'static str,
    pub cpu_type: CpuType,
    /// 1000 is one core.
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub bandwidth_allowance_gib: u32,
    pub scalable: bool,
    pub single_instance_only: bool,
    /// Older slugs are still accepted.
    pub legacy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CpuType {
    Shared,
    Dedicated,
}

const MIB: u64 = 1024 * 1024;

/// An allowance of 0 is not known.
#[rustfmt::skip]
pub const ALL: [InstanceSize; 24] = [
    size("apps-s-1vcpu-0.5gb",     1,   512, 50).single(),
    size("apps-s-1vcpu-1gb-fixed", 1,  1024, 100).single(),
    size("apps-s-1vcpu-1gb",       1,  1024, 150),
    size("apps-s-1vcpu-2gb",       1,  2048, 200),
    size("apps-s-2vcpu-4gb",       2,  4096, 250),
    size("apps-d-1vcpu-0.5gb",     1,   512, 100).dedicated(),
    size("apps-d-1vcpu-1gb",       1,  1024, 200).dedicated(),
    size("apps-d-1vcpu-2gb",       1,  2048, 300).dedicated(),
    size("apps-d-1vcpu-4gb",       1,  4096, 400).dedicated(),
    size("apps-d-2vcpu-4gb",       2,  4096, 500).dedicated(),
    size("apps-d-2vcpu-8gb",       2,  8192, 600).dedicated(),
    size("apps-d-4vcpu-8gb",       4,  8192, 700).dedicated(),
    size("apps-d-4vcpu-16gb",      4, 16384, 800).dedicated(),
    size("apps-d-8vcpu-32gb",      8, 32768, 900).dedicated(),
    size("basic-xxs",              1,   512, 0).old(),
    size("basic-xs",               1,  1024, 0).old(),
    size("basic-s",                1,  2048, 0).old(),
    size("basic-m",                2,  4096, 0).old(),
    size("professional-xs",        1,  1024, 0).old(),
    size("professional-s",         1,  2048, 0).old(),
    size("professional-m",         2,  4096, 0).old(),
    size("professional-1l",        1,  4096, 0).old().dedicated(),
    size("professional-l",         2,  8192, 0).old().dedicated(),
    size("professional-xl",        4, 16384, 0).old().dedicated(),
];

const fn size(slug: &'static str, cpus: u32, memory_mib: u64, bandwidth_allowance_gib: u32) -> InstanceSize {
    InstanceSize {
        slug,
        cpu_type: CpuType::Shared,
        cpu_millis: cpus * 1000,
        memory_bytes: memory_mib * MIB,
        bandwidth_allowance_gib,
        scalable: false,
        single_instance_only: false,
        legacy: false,
    }
}

impl InstanceSize {
    const fn single(mut self) -> Self {
        self.single_instance_only = true;
        self
    }

    /// Dedicated sizes can be scaled automatically.
    const fn dedicated(mut self) -> Self {
        self.cpu_type = CpuType::Dedicated;
        self.scalable = true;
        self
    }

    const fn old(mut self) -> Self {
        self.legacy = true;
        self
    }

    pub fn by_slug(slug: &str) -> Option<&'static Self> {
        ALL.iter().find(|size| size.slug == slug)
    }

    /// What a component has that names no size.
    pub fn default_size() -> &'static Self {
        &ALL[0]
    }

    /// The smallest current size that holds this much memory.
    pub fn smallest_with_memory(memory_bytes: u64) -> Option<&'static Self> {
        ALL.iter()
            .filter(|size| !size.legacy && size.memory_bytes >= memory_bytes)
            .min_by_key(|size| size.memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_unique_and_say_their_memory() {
        for (index, size) in ALL.iter().enumerate() {
            assert!(
                ALL[index + 1..].iter().all(|other| other.slug != size.slug),
                "{}",
                size.slug
            );
        }
        assert_eq!(
            InstanceSize::by_slug("apps-d-4vcpu-16gb").unwrap().memory_bytes,
            16 << 30
        );
        assert_eq!(InstanceSize::default_size().slug, "apps-s-1vcpu-0.5gb");
    }

    #[test]
    fn smallest_size_for_a_peak() {
        let slug = |mib: u64| InstanceSize::smallest_with_memory(mib * MIB).map(|size| size.slug);
        assert_eq!(slug(600), Some("apps-s-1vcpu-1gb-fixed"));
        assert_eq!(slug(1025), Some("apps-s-1vcpu-2gb"));
        assert_eq!(slug(40_000), None);
    }
}
