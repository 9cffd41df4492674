//! How many rows each table has: asked of the database in the snapshot that its dump is of, and of what was restored from the dump.

use mainstay_store::{BackupFailure, TableRows};

use super::failure::Failed;

/// How many differing tables are named.
const NAMED: usize = 3;

/// One text: a list of [`TableRows`]. Every name is qualified, for a search path may be anybody's. Left out is what a dump leaves out: what
/// belongs to extensions, and temporary tables; and materialized views, which are computed anew. Large objects are counted as one table.
pub(super) const QUESTION: &str = "\
SELECT coalesce(json_agg(json_build_object('schema', counted.schema, 'name', counted.name, 'rows', counted.rows)), '[]')::text
FROM (
    SELECT n.nspname::text AS schema, c.relname::text AS name, (pg_catalog.xpath('/row/c/text()',
        pg_catalog.query_to_xml(pg_catalog.format('SELECT pg_catalog.count(*) AS c FROM ONLY %I.%I', n.nspname, c.relname),
            false, true, '')))[1]::text::bigint AS rows
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'pg_catalog', 'pg_largeobject_metadata', pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata
) counted";

/// Reads the answer; by schema and name.
pub(super) fn read(answer: &str) -> Result<Vec<TableRows>, Failed> {
    let mut tables: Vec<TableRows> = serde_json::from_str(answer.trim()).map_err(|_| {
        Failed::new(
            BackupFailure::Platform,
            "the answer with the counts was not understood",
        )
    })?;
    tables.sort();
    Ok(tables)
}

/// Whether what was restored has what was there.
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

    #[test]
    fn the_answer_is_read() {
        let answer = r#"[{"schema":"public","name":"b","rows":1},{"schema":"public","name":"a","rows":2}]"#;
        assert_eq!(read(answer).unwrap(), [table("a", 2), table("b", 1)]);
        assert_eq!(read("psql: nonsense").unwrap_err().kind, BackupFailure::Platform);
    }
}
