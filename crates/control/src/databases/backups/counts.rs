//! Whether what was restored has what there was: tables and their rows, or whatever an engine counts in their place.

use mainstay_store::{BackupFailure, TableRows};

use super::failure::Failed;

/// How many differing tables are named.
const NAMED: usize = 3;

pub(super) fn compare(wanted: &[TableRows], found: &[TableRows]) -> Result<(), Failed> {
    let rows_of = |tables: &[TableRows], one: &TableRows| {
        let same = |table: &&TableRows| table.schema == one.schema && table.name == one.name;
        tables.iter().find(same).map(|table| table.rows)
    };
    let text = |rows: Option<u64>| rows.map_or("no table".to_owned(), |rows| format!("{rows} rows"));
    let missing = wanted
        .iter()
        .filter(|table| rows_of(found, table) != Some(table.rows))
        .map(|table| (table, Some(table.rows), rows_of(found, table)));
    let surplus = found
        .iter()
        .filter(|table| rows_of(wanted, table).is_none())
        .map(|table| (table, None, Some(table.rows)));
    let differing: Vec<String> = missing
        .chain(surplus)
        .map(|(table, before, after)| {
            let (before, after) = (text(before), text(after));
            format!("{}.{} had {before} and has {after}", table.schema, table.name)
        })
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    let more = differing.len().saturating_sub(NAMED);
    let mut message = differing[..differing.len().min(NAMED)].join("; ");
    if more > 0 {
        message = format!("{message}; and {more} more");
    }
    Err(Failed::new(
        BackupFailure::CountsDiffer,
        format!("restored it differs: {message}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64) -> TableRows {
        TableRows {
            schema: "public".into(),
            name: name.into(),
            rows,
        }
    }

    #[test]
    fn a_lost_row_a_lost_table_and_a_new_one_are_told() {
        let wanted = [table("a", 3), table("b", 0)];
        assert_eq!(compare(&wanted, &wanted), Ok(()));
        let told = |found: &[TableRows]| compare(&wanted, found).unwrap_err().message;
        assert_eq!(
            told(&[table("a", 2), table("b", 0)]),
            "restored it differs: public.a had 3 rows and has 2 rows"
        );
        assert_eq!(
            told(&[table("a", 3)]),
            "restored it differs: public.b had 0 rows and has no table"
        );
        let many: Vec<TableRows> = ["a", "b", "c", "d", "e", "f"].map(|name| table(name, 9)).into();
        assert!(told(&many).ends_with("; and 3 more"), "{}", told(&many));
    }
}
