//! A database that is about to be dumped, and the instance that has its tools.
//!
//! The tools run in an instance of their own, so that what they take of memory is not the database's. Their output comes through the engine:
//! the file is written here, where a full disk is an error number and not a word in a log.

use mainstay_spec::ids::InstanceId;
use mainstay_store::{BackupFailure, DatabaseRow};

use super::{
    super::login::Login,
    failure::Failed,
    tool::{Answer, Input, Tool, write_file},
};
use crate::platform::Platform;

/// Where the tools find the certificate that vouches for the database's server.
pub(in crate::databases) const AUTHORITY: &str = "/tmp/ca.crt";

pub(in crate::databases) struct Source<'a> {
    platform: &'a Platform,
    pub(in crate::databases) row: &'a DatabaseRow,
    /// The platform's own, at the app's database.
    pub(in crate::databases) login: Login<'a>,
    instance: InstanceId,
}

impl<'a> Source<'a> {
    /// `instance` has the tools and is on the app's network.
    pub(super) async fn open(
        platform: &'a Platform,
        row: &'a DatabaseRow,
        login: Login<'a>,
        instance: InstanceId,
    ) -> Result<Self, Failed> {
        let source = Self {
            platform,
            row,
            login,
            instance,
        };
        let certificate = platform.databases.authority.certificate();
        source.write(AUTHORITY, certificate.to_owned()).await?;
        Ok(source)
    }

    /// Writes a file that a tool reads. It goes with the instance.
    pub(in crate::databases) async fn write(&self, path: &str, text: String) -> Result<(), Failed> {
        self.tool(write_file(path))
            .run(Input::Text(text), &mut Answer::default())
            .await
    }

    pub(in crate::databases) fn tool(&self, argv: Vec<String>) -> Tool<'a> {
        Tool::new(&*self.platform.engine, self.instance, argv, BackupFailure::Dump)
    }
}
