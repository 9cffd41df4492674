//! Where Debian packages come from: the operator's mirror, the machine's own sources, or Debian's.

use std::{fs, path::Path};

use crate::settings::DebianSettings;

/// Signs the archives of all Debian suites; Debian's `debian-archive-keyring` package.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where neither the operator nor the machine says which suite.
const DEFAULT_SUITE: &str = "bookworm";
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
const DEFAULT_SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";

/// The suite and the archives to take it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) suite: String,
    archives: Vec<Archive>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Archive {
    uri: String,
    suite: String,
}

impl Sources {
    /// The sources by the operator's settings and this machine.
    pub(crate) fn of_machine(settings: &DebianSettings) -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let mut texts = vec![fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
        for entry in fs::read_dir("/etc/apt/sources.list.d")
            .into_iter()
            .flatten()
            .flatten()
        {
            texts.push(fs::read_to_string(entry.path()).unwrap_or_default());
        }
        Self::choose(settings, &release, &texts)
    }

    fn choose(settings: &DebianSettings, os_release: &str, source_files: &[String]) -> Self {
        let suite = settings
            .suite
            .clone()
            .or_else(|| codename(os_release))
            .unwrap_or_else(|| DEFAULT_SUITE.to_owned());
        let archives = match &settings.mirror {
            Some(mirror) => {
                let security = settings.security_mirror.clone();
                let security =
                    security.unwrap_or_else(|| format!("{}-security", mirror.trim_end_matches('/')));
                archives_of(mirror, &security, &suite)
            }
            None => machine_archives(&suite, source_files),
        };
        Self { suite, archives }
    }

    /// "debian-12"; a suite without a number keeps its name.
    pub(crate) fn stack_name(&self) -> String {
        let number = match self.suite.as_str() {
            "bookworm" => "12",
            "trixie" => "13",
            "forky" => "14",
            other => other,
        };
        format!("debian-{number}")
    }

    /// One line per archive, as apt and mmdebstrap read them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let is_signed = Path::new(KEYRING).is_file();
        let options = if is_signed {
            format!(" [signed-by={KEYRING}]")
        } else {
            String::new()
        };
        self.archives
            .iter()
            .map(|archive| format!("deb{options} {} {} main", archive.uri, archive.suite))
            .collect()
    }

    /// True for archives of a day in the past, whose indexes have expired by design.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.archives
            .iter()
            .any(|archive| archive.uri.contains("snapshot."))
    }
}

fn archives_of(mirror: &str, security: &str, suite: &str) -> Vec<Archive> {
    let archive = |uri: &str, suite: String| Archive {
        uri: uri.to_owned(),
        suite,
    };
    vec![
        archive(mirror, suite.to_owned()),
        archive(mirror, format!("{suite}-updates")),
        archive(security, format!("{suite}-security")),
    ]
}

fn codename(os_release: &str) -> Option<String> {
    let value = |name: &str| {
        let line = os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    value("VERSION_CODENAME").filter(|_| value("ID").as_deref() == Some("debian"))
}

/// Debian's own archives among the machine's sources; all three of Debian's mirrors if there are none for the suite.
fn machine_archives(suite: &str, source_files: &[String]) -> Vec<Archive> {
    let wanted = [
        suite.to_owned(),
        format!("{suite}-updates"),
        format!("{suite}-security"),
    ];
    let mut archives: Vec<Archive> = Vec::new();
    for archive in source_files
        .iter()
        .flat_map(|text| [one_line(text), stanzas(text)].concat())
    {
        if wanted.contains(&archive.suite) && !archives.iter().any(|known| known.suite == archive.suite) {
            archives.push(archive);
        }
    }
    if archives.iter().any(|archive| archive.suite == suite) {
        return archives;
    }
    archives_of(DEFAULT_MIRROR, DEFAULT_SECURITY_MIRROR, suite)
}

/// `deb [options] uri suite component…` (sources.list(5)).
fn one_line(text: &str) -> Vec<Archive> {
    let read = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        (is_web(uri) && words.any(|component| component == "main")).then(|| Archive {
            uri: uri.to_owned(),
            suite: suite.to_owned(),
        })
    };
    text.lines().filter_map(read).collect()
}

/// The fields of `*.sources` (deb822).
fn stanzas(text: &str) -> Vec<Archive> {
    text.split("\n\n").flat_map(stanza).collect()
}

fn stanza(text: &str) -> Vec<Archive> {
    let words = |field: &str| -> Vec<String> {
        let is_field = |line: &&str| {
            line.split_once(':')
                .is_some_and(|(name, _)| name.eq_ignore_ascii_case(field))
        };
        let value = text
            .lines()
            .find(is_field)
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value);
        value
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let usable = words("Types").contains(&"deb".to_owned())
        && words("Components").contains(&"main".to_owned())
        && words("Enabled").first().is_none_or(|value| value != "no");
    let Some(uri) = words("URIs").into_iter().find(|uri| usable && is_web(uri)) else {
        return Vec::new();
    };
    words("Suites")
        .into_iter()
        .map(|suite| Archive {
            uri: uri.clone(),
            suite,
        })
        .collect()
}

fn is_web(uri: &str) -> bool {
    uri.starts_with("http://") || uri.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "ID=debian\nVERSION_CODENAME=bookworm\n";

    fn uris(sources: &Sources) -> Vec<String> {
        sources
            .archives
            .iter()
            .map(|archive| format!("{} {}", archive.uri, archive.suite))
            .collect()
    }

    #[test]
    fn the_machines_own_debian_archives_are_used_and_no_others() {
        let files = [
            "# comment\n\nTypes: deb\n# old\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
             Types: deb\nURIs: http://mirror.test/security\nSuites: bookworm-security\nComponents: main contrib\n"
                .to_owned(),
            "deb https://vendor.test/apt bookworm stable\ndeb [arch=amd64] https://other.test/apt vendor main\n".to_owned(),
        ];
        let sources = Sources::choose(&DebianSettings::default(), BOOKWORM, &files);
        assert_eq!(sources.stack_name(), "debian-12");
        assert_eq!(
            uris(&sources),
            [
                "http://mirror.test/debian bookworm",
                "http://mirror.test/debian bookworm-updates",
                "http://mirror.test/security bookworm-security"
            ]
        );
    }

    #[test]
    fn one_line_sources_are_read_too() {
        let files = ["deb [ signed-by=/x.gpg ] http://mirror.test/debian bookworm main non-free\ndeb-src http://x.test/ bookworm main".to_owned()];
        let sources = Sources::choose(&DebianSettings::default(), BOOKWORM, &files);
        assert_eq!(uris(&sources), ["http://mirror.test/debian bookworm"]);
    }

    #[test]
    fn another_suite_and_another_system_fall_back_to_debians_mirrors() {
        let settings = DebianSettings {
            suite: Some("trixie".to_owned()),
            ..Default::default()
        };
        let files = ["deb http://mirror.test/debian bookworm main".to_owned()];
        let sources = Sources::choose(&settings, BOOKWORM, &files);
        assert_eq!(uris(&sources)[0], "http://deb.debian.org/debian trixie");
        let ubuntu = Sources::choose(
            &DebianSettings::default(),
            "ID=ubuntu\nVERSION_CODENAME=noble\n",
            &[],
        );
        assert_eq!(ubuntu.stack_name(), "debian-12");
    }

    #[test]
    fn the_operators_mirror_wins() {
        let settings = DebianSettings {
            mirror: Some("http://own.test/debian/".to_owned()),
            ..Default::default()
        };
        let sources = Sources::choose(&settings, BOOKWORM, &[]);
        assert_eq!(
            uris(&sources)[2],
            "http://own.test/debian-security bookworm-security"
        );
    }
}
