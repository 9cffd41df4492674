//! What backups need of an engine; everything else of them ([`backups`](super::super::backups)) is the same for all.

use async_trait::async_trait;
use mainstay_store::TableRows;

use crate::databases::{
    backups::{Draft, Failed, Scratch, Source, Stored, Written},
    login::Login,
};

#[async_trait]
pub(in crate::databases) trait Backup {
    /// What the database takes on its disk, in bytes, indexes included. The platform's own login, at the app's database.
    async fn bytes(&self, login: &Login<'_>) -> Result<u64, Failed>;

    /// Writes out what is in the database at one moment, and counts it at the same.
    async fn dump(&self, source: &Source<'_>, draft: Draft) -> Result<(Written, Vec<TableRows>), Failed>;

    /// Has a server of its own serve what was dumped, from the empty volume of `scratch`; to whoever is inside with it alone.
    async fn restore(&self, scratch: &mut Scratch<'_>, file: Stored) -> Result<(), Failed>;

    /// What that server has, counted as in [`Self::dump`].
    async fn count(&self, scratch: &Scratch<'_>) -> Result<Vec<TableRows>, Failed>;

    /// Leaves what the database's own server wants to find on the volume. What that server calls its data.
    async fn complete(&self, scratch: &Scratch<'_>) -> Result<String, Failed>;
}
