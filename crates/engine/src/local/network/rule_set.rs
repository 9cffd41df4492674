//! Rules as data, and the transaction that puts them in place of the ones before.
//!
//! Chains that hook into the kernel are kept and only their rules replaced. To delete and re-add the table would be atomic for a
//! reader of the rules, but not for a packet: it can meet the new chain while its rules do not count yet, and the old one when they
//! count no more (seen once in some ten thousand connects). Connections that are established are not touched in any case: connection
//! tracking keeps where they lead.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    hash::{DefaultHasher, Hasher},
};

/// Holds nothing but the fingerprint of the rules.
pub(super) const FINGERPRINT_CHAIN: &str = "fingerprint";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: String,
    /// Type, hook and priority; `None` for a chain that is only jumped to.
    hook: Option<&'static str>,
    rules: Vec<String>,
}

/// All chains of our table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleSet {
    pub(super) table: String,
    pub(super) chains: Vec<Chain>,
}

impl Chain {
    pub(super) fn hooked(name: impl Into<String>, hook: &'static str, rules: Vec<String>) -> Self {
        Self {
            name: name.into(),
            hook: Some(hook),
            rules,
        }
    }

    pub(super) fn plain(name: impl Into<String>, rules: Vec<String>) -> Self {
        Self {
            name: name.into(),
            hook: None,
            rules,
        }
    }
}

impl RuleSet {
    /// The text for `nft -f -` that replaces all rules at one instant. `existing` are the names of the chains in the kernel.
    pub(super) fn transaction(&self, existing: &BTreeSet<String>) -> String {
        let table = &self.table;
        let mut text = format!("table inet {table} {{\n  chain {FINGERPRINT_CHAIN} {{ }}\n");
        for Chain { name, hook, .. } in &self.chains {
            let hook = hook
                .map(|hook| format!("{hook}; policy accept; "))
                .unwrap_or_default();
            let _ = writeln!(text, "  chain {name} {{ {hook}}}");
        }
        let _ = writeln!(text, "}}\nflush table inet {table}");
        for stale in existing.difference(&self.chain_names()) {
            let _ = writeln!(text, "delete chain inet {table} {stale}");
        }
        let _ = write!(text, "table inet {table} {{\n{}}}\n", self.bodies());
        text
    }

    /// The text that starts over with a new table: for one that somebody else changed beyond recognition.
    pub(super) fn recreation(&self) -> String {
        let table = &self.table;
        // The first line makes the second succeed when there is no table.
        format!(
            "table inet {table}\ndelete table inet {table}\n{}",
            self.transaction(&BTreeSet::new())
        )
    }

    pub(super) fn chain_names(&self) -> BTreeSet<String> {
        let fixed = std::iter::once(FINGERPRINT_CHAIN.to_owned());
        fixed
            .chain(self.chains.iter().map(|chain| chain.name.clone()))
            .collect()
    }

    /// Stands in the kernel as a comment; the same for the same rules.
    pub(super) fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        for Chain { name, hook, rules } in &self.chains {
            hasher.write(format!("{name} {hook:?} {rules:?}").as_bytes());
        }
        format!("rules {:016x}", hasher.finish())
    }

    fn bodies(&self) -> String {
        let fingerprint = self.fingerprint();
        let mut text =
            format!("  chain {FINGERPRINT_CHAIN} {{\n    return comment \"{fingerprint}\"\n  }}\n");
        for Chain { name, rules, .. } in self.chains.iter().filter(|chain| !chain.rules.is_empty()) {
            let _ = writeln!(text, "  chain {name} {{\n    {}\n  }}", rules.join("\n    "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_nothing_needs_any_more_are_deleted_after_their_last_mention() {
        let rules = RuleSet {
            table: "t".to_owned(),
            chains: vec![Chain::plain("kept", vec!["accept".to_owned()])],
        };
        let existing = ["fingerprint", "gone", "kept"].map(str::to_owned).into();
        let text = rules.transaction(&existing);
        let flush = text.find("flush table inet t\n").unwrap();
        let delete = text.find("delete chain inet t gone\n").unwrap();
        assert!(flush < delete);
        assert_eq!(text.matches("delete").count(), 1);
    }

    #[test]
    fn another_rule_is_another_fingerprint() {
        let rules = |rule: &str| RuleSet {
            table: "t".to_owned(),
            chains: vec![Chain::plain("chain", vec![rule.to_owned()])],
        };
        assert_eq!(rules("accept").fingerprint(), rules("accept").fingerprint());
        assert_ne!(rules("accept").fingerprint(), rules("drop").fingerprint());
    }
}
