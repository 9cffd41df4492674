//! Which packages a stack has. Names must exist in every suite that can be a stack (Debian 12 and later).

/// What a running app needs: certificates, time zones, the libraries that prebuilt extensions of Python, Ruby and Node ask for, and what
/// one wants in a console (`ps`, `curl`). Language runtimes are layers of their own.
pub(super) const RUN: &[&str] = &[
    "ca-certificates",
    "curl",
    "libexpat1",
    "libffi8",
    "libgomp1",
    "libpq5",
    "libsqlite3-0",
    "libstdc++6",
    "libyaml-0-2",
    "netbase",
    "procps",
    "tzdata",
];

/// What builds need on top.
pub(super) const BUILD: &[&str] = &[
    "build-essential",
    "file",
    "git",
    "libcurl4-openssl-dev",
    "libffi-dev",
    "libpq-dev",
    "libsqlite3-dev",
    "libssl-dev",
    "libyaml-dev",
    "openssh-client",
    "patch",
    "pkg-config",
    "python3",
    "python3-dev",
    "unzip",
    "xz-utils",
    "zlib1g-dev",
];

/// dpkg's options of a stack: manuals and translations of messages are left out, licences stay.
pub(super) const DPKG_OPTIONS: &str = "\
# Manuals and translations are left out of containers.
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
";

/// The same directories, for what was unpacked before dpkg looked at its options.
pub(super) const LEFT_OUT: &[&str] = &[
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
];
pub(super) const LICENCE: &str = "copyright";
