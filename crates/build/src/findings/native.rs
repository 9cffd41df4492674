//! Compilers, their headers and helper programs, whoever runs them: what a native part of a package needs and does not find.

use super::{
    FindingContext, Found, Scanner,
    text::{between, quoted},
};

/// Until a package manager names the package.
pub(super) const TOOL: &str = "compiler";

#[derive(Debug)]
pub(super) struct Native;

impl Scanner for Native {
    fn line(&mut self, line: &str, _context: &FindingContext, found: &mut Found) {
        if let Some(what) = missing(line) {
            found.needs(what, line);
        }
    }
}

/// Programs that only a compilation runs.
const PROGRAMS: &[&str] = &[
    "cc",
    "gcc",
    "g++",
    "c++",
    "clang",
    "make",
    "cmake",
    "ninja",
    "pkg-config",
    "autoconf",
    "automake",
    "libtool",
    "ld",
    "pg_config",
    "mysql_config",
    "rustc",
    "cargo",
    "gfortran",
    "swig",
    "nasm",
];

fn missing(line: &str) -> Option<&str> {
    header(line)
        .or_else(|| program(line))
        .or_else(|| by_sentence(line))
}

/// "src/x.c:1:10: fatal error: Python.h: No such file or directory".
fn header(line: &str) -> Option<&str> {
    let header = between(line, "fatal error: ", ": No such file")?;
    (header.contains(".h") && !header.contains(' ')).then_some(header)
}

/// A shell, make or distutils that does not find one of the programs.
fn program(line: &str) -> Option<&str> {
    let unable = (line.contains("error: command ") && line.contains("failed: No such file"))
        || line.contains("unable to execute ");
    let name = if unable {
        quoted(line)?
    } else if let Some(name) = line.rsplit_once("not found: ").map(|(_, name)| name) {
        name
    } else {
        let sentence = line
            .strip_suffix(": not found")
            .or_else(|| line.strip_suffix(": command not found"))
            .or_else(|| line.strip_suffix(": No such file or directory"))?;
        sentence.rsplit(": ").next()?
    };
    let name = name.trim().rsplit('/').next()?;
    // "x86_64-linux-gnu-gcc".
    let plain = name.rsplit_once("-gnu-").map_or(name, |(_, plain)| plain);
    PROGRAMS.contains(&plain).then_some(plain)
}

/// Sentences of the tools that look for one.
fn by_sentence(line: &str) -> Option<&str> {
    const SENTENCES: &[(&str, &str)] = &[
        ("pg_config executable not found", "pg_config"),
        ("mysql_config not found", "mysql_config"),
        ("Can not find valid pkg-config name", "pkg-config"),
        ("gyp ERR! find Python", "python3"),
        ("CMake must be installed", "cmake"),
        ("can't find Rust compiler", "rustc"),
        ("C compiler \"gcc\" not found", "gcc"),
        ("linker `cc` not found", "cc"),
        ("no acceptable C compiler found", "cc"),
        ("Could not find `protoc`", "protoc"),
        (
            "Please make sure the libxml2 and libxslt development packages are installed",
            "libxml2",
        ),
    ];
    let known = SENTENCES.iter().find(|(sentence, _)| line.contains(sentence));
    known.map(|(_, what)| *what).or_else(|| {
        let package =
            between(line, "Package '", "', required by").or_else(|| between(line, "No package '", "' found"));
        package.or_else(|| between(line, "Unknown compiler(s): [['", "'"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FindingContext, tests::of};

    #[test]
    fn what_is_missing_is_named_whoever_says_it() {
        for (line, expected) in [
            (
                "src/binding.c:1:10: fatal error: Python.h: No such file or directory",
                "Python.h",
            ),
            (
                "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
                "gcc",
            ),
            ("/bin/sh: 1: make: not found", "make"),
            ("make: g++: No such file or directory", "g++"),
            ("npm error gyp ERR! stack Error: not found: make", "make"),
            ("      Error: pg_config executable not found.", "pg_config"),
            (
                "cgo: C compiler \"gcc\" not found: exec: \"gcc\": executable file not found in $PATH",
                "gcc",
            ),
            ("error: linker `cc` not found", "cc"),
        ] {
            let found = of(line, FindingContext::default());
            let expected =
                format!("compiler missing dependency_not_compilable {expected} | needs {expected}");
            assert_eq!(found[0], expected, "{line}");
        }
        assert!(of("sh: 1: vite: not found", FindingContext::default())[0].starts_with("sh 127"));
    }

    #[test]
    fn the_package_is_named_before_or_after_what_it_needs() {
        let pip = "Error: pg_config executable not found.\nERROR: Failed building wheel for psycopg2\n";
        assert_eq!(
            of(pip, FindingContext::default()),
            ["pip failed building wheel dependency_not_compilable psycopg2 | needs pg_config"]
        );
        let uv = "  × Failed to build `psycopg2==2.9.9`\n      Error: pg_config executable not found.\n";
        assert_eq!(
            of(uv, FindingContext::default()),
            ["uv failed to build dependency_not_compilable psycopg2==2.9.9 | needs pg_config"]
        );
    }
}
