//! Columns of text that are something else: times, ids, words, JSON. What cannot be read names the column and whose row it is.

use std::{error::Error, str::FromStr};

use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{Row, sqlite::SqliteRow};

use crate::StoreError;

/// An id that is all there is to say whose the row is.
pub(crate) fn id<T>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>>,
{
    let text: &str = row.get(column);
    text.parse().map_err(StoreError::damaged(column, text))
}

/// A time, an id, …
pub(crate) fn parsed<T>(row: &SqliteRow, column: &'static str, owner: impl ToString) -> Result<T, StoreError>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>>,
{
    let text: &str = row.get(column);
    text.parse().map_err(StoreError::damaged(column, owner))
}

pub(crate) fn parsed_if_set<T>(
    row: &SqliteRow,
    column: &'static str,
    owner: impl ToString,
) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>>,
{
    let text: Option<&str> = row.get(column);
    text.map(str::parse)
        .transpose()
        .map_err(StoreError::damaged(column, owner))
}

pub(crate) fn from_json<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
    owner: impl ToString,
) -> Result<T, StoreError> {
    serde_json::from_str(row.get(column)).map_err(StoreError::damaged(column, owner))
}

pub(crate) fn from_json_if_set<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
    owner: impl ToString,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.get(column);
    text.map(serde_json::from_str)
        .transpose()
        .map_err(StoreError::damaged(column, owner))
}

/// One of the words that a type has in JSON.
pub(crate) fn word<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
    owner: impl ToString,
) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(row.get(column))).map_err(StoreError::damaged(column, owner))
}
