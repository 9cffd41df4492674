//! Other software's forward filters. An accept in our table does not overrule a drop in theirs, and Docker (like ufw) sets the policy
//! of iptables' FORWARD chain to drop. Where that is so, our devices are let through there; our own table still decides about them.
//!
//! iptables rules are written by iptables itself: what `nft` writes into its tables, iptables may not be able to read any more.

use serde_json::Value;

use super::{
    config::NetworkConfig,
    error::NetworkError,
    nft::{chains, list_chains, run, text},
};

/// iptables on top of nftables, and the older one with kernel tables of its own.
const NFT_VARIANTS: [&str; 2] = ["iptables-nft", "iptables"];
const LEGACY_VARIANT: &str = "iptables-legacy";
/// Lists the legacy tables; missing where the kernel has none.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";
/// Docker keeps what is in this chain, and asks it first.
const DOCKER_CHAIN: &str = "DOCKER-USER";
const FORWARD_CHAIN: &str = "FORWARD";
/// How often one rule is removed at most; it is there once, unless two of us added it at the same time.
const COPIES_MAX: usize = 8;

/// A forward filter of others that drops by policy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Dropping {
    /// iptables' own chain; we can put rules there with this tool.
    Iptables { tool: &'static str },
    /// Anything else; somebody has to let us through.
    Foreign { chain: String },
}

/// What was found and done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ForwardReport {
    pub(super) opened: Vec<String>,
    pub(super) obstacles: Vec<String>,
}

/// Lets our devices through wherever forwarded packets are dropped by policy.
pub(super) async fn open(config: &NetworkConfig) -> Result<ForwardReport, NetworkError> {
    let mut report = ForwardReport::default();
    for filter in dropping_filters(&config.table).await? {
        match filter {
            Dropping::Foreign { chain } => report.obstacles.push(format!(
                "{chain} drops forwarded packets by policy: accept the devices {}-* there, or apps have no network",
                config.prefix
            )),
            Dropping::Iptables { tool } => {
                if let Some(chain) = open_iptables(tool, config).await? {
                    report.opened.push(format!("accept rules for {}-* in {tool}'s {chain}", config.prefix));
                }
            }
        }
    }
    Ok(report)
}

/// Takes our rules out again.
pub(super) async fn close(config: &NetworkConfig) -> Result<(), NetworkError> {
    for tool in present_tools(&list_chains().await?).await {
        for chain in [DOCKER_CHAIN, FORWARD_CHAIN] {
            for rule in our_rules(config) {
                let mut copies = 0;
                while copies < COPIES_MAX && iptables(tool, "-D", chain, &rule).await.is_ok() {
                    copies += 1;
                }
            }
        }
    }
    Ok(())
}

/// Inserts what is missing; the chain's name if anything was.
async fn open_iptables(
    tool: &'static str,
    config: &NetworkConfig,
) -> Result<Option<&'static str>, NetworkError> {
    let listing = run(tool, &["-w", "5", "-S", FORWARD_CHAIN], "").await?;
    let chain = if listing.contains(&format!("-j {DOCKER_CHAIN}")) {
        DOCKER_CHAIN
    } else {
        FORWARD_CHAIN
    };
    let mut inserted = None;
    for rule in our_rules(config) {
        if iptables(tool, "-C", chain, &rule).await.is_err() {
            iptables(tool, "-I", chain, &rule).await?;
            inserted = Some(chain);
        }
    }
    Ok(inserted)
}

/// One rule for each direction, tagged with our table's name.
fn our_rules(config: &NetworkConfig) -> [Vec<String>; 2] {
    ["-i", "-o"].map(|direction| {
        let devices = format!("{}-+", config.prefix);
        let tag = format!("mainstay {}", config.table);
        [
            direction,
            &devices,
            "-m",
            "comment",
            "--comment",
            &tag,
            "-j",
            "ACCEPT",
        ]
        .map(str::to_owned)
        .to_vec()
    })
}

async fn iptables(tool: &str, verb: &str, chain: &str, rule: &[String]) -> Result<(), NetworkError> {
    let mut arguments = vec!["-w", "5", verb, chain];
    arguments.extend(rule.iter().map(String::as_str));
    run(tool, &arguments, "").await.map(drop)
}

// === finding them ===

async fn dropping_filters(our_table: &str) -> Result<Vec<Dropping>, NetworkError> {
    let listing = list_chains().await?;
    let mut found = Vec::new();
    for chain in dropping_nft_chains(&listing, our_table) {
        let tool = if chain == "ip filter FORWARD" {
            working_nft_variant().await
        } else {
            None
        };
        found.push(match tool {
            Some(tool) => Dropping::Iptables { tool },
            None => Dropping::Foreign { chain },
        });
    }
    if legacy_tables_in_use() {
        let listing = run(LEGACY_VARIANT, &["-w", "5", "-S", FORWARD_CHAIN], "")
            .await
            .unwrap_or_default();
        if listing.contains("-P FORWARD DROP") {
            found.push(Dropping::Iptables { tool: LEGACY_VARIANT });
        }
    }
    Ok(found)
}

/// The iptables tools whose FORWARD chain exists. Asking another one could create tables that nobody wanted.
async fn present_tools(listing: &Value) -> Vec<&'static str> {
    let mut tools = Vec::new();
    if chains(listing).any(|chain| full_name(chain) == "ip filter FORWARD") {
        tools.extend(working_nft_variant().await);
    }
    if legacy_tables_in_use() {
        tools.push(LEGACY_VARIANT);
    }
    tools
}

async fn working_nft_variant() -> Option<&'static str> {
    for tool in NFT_VARIANTS {
        let version = run(tool, &["--version"], "").await.unwrap_or_default();
        if version.contains("nf_tables") {
            return Some(tool);
        }
    }
    None
}

fn legacy_tables_in_use() -> bool {
    let tables = std::fs::read_to_string(LEGACY_TABLES).unwrap_or_default();
    tables.lines().any(|table| table == "filter")
}

/// Forward filters for IPv4, other than ours, with the policy to drop.
fn dropping_nft_chains(listing: &Value, our_table: &str) -> Vec<String> {
    let drops = chains(listing).filter(|chain| {
        let family = text(chain, "family");
        let ours = family == "inet" && text(chain, "table") == our_table;
        let drops = text(chain, "hook") == "forward" && text(chain, "policy") == "drop";
        drops && matches!(family, "ip" | "inet") && !ours
    });
    drops.map(full_name).collect()
}

fn full_name(chain: &Value) -> String {
    ["family", "table", "name"].map(|key| text(chain, key)).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forward_filters_of_others_that_drop_count() {
        let chain = |family: &str, table: &str, name: &str, hook: &str, policy: &str| {
            serde_json::json!({ "chain": {
                "family": family, "table": table, "name": name, "type": "filter", "hook": hook, "policy": policy,
            }})
        };
        let listing = serde_json::json!({ "nftables": [
            { "metainfo": { "version": "1.0.6" } },
            chain("ip", "filter", "FORWARD", "forward", "drop"),
            chain("ip", "filter", "INPUT", "input", "drop"),
            chain("ip6", "filter", "FORWARD", "forward", "drop"),
            chain("inet", "site", "forward", "forward", "drop"),
            chain("inet", "calm", "forward", "forward", "accept"),
            chain("inet", "mainstay", "between", "forward", "drop"),
        ]});
        assert_eq!(
            dropping_nft_chains(&listing, "mainstay"),
            ["ip filter FORWARD", "inet site forward"]
        );
        assert_eq!(dropping_nft_chains(&Value::Null, "mainstay"), [""; 0]);
    }
}
