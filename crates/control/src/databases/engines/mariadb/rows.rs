//! Counts the rows in what `mariadb-dump` writes, as it passes: a statement `INSERT INTO … VALUES (…), (…);` has one in each pair of
//! parentheses. What is quoted or a comment is told from statements as the client does that will read them, for a procedure may have any
//! text in it.

use std::collections::BTreeMap;

/// What names a table's columns has so many bytes at most: 4096 names of 64 letters.
const BEGINNING_BYTES_MAX: usize = 2 << 20;

const COMMAND: &[u8] = b"DELIMITER ";
const TABLE: &[u8] = b"CREATE TABLE `";
const ROWS: &[u8] = b"INSERT INTO `";

/// Rows by table. Those that have none are there too.
#[derive(Debug)]
pub(super) struct Rows {
    tables: BTreeMap<String, u64>,
    inside: Inside,
    part: Part,
    /// What ends a statement: `;`, or `;;` around what has some in it.
    delimiter: Vec<u8>,
    /// How much of it was just read.
    ended_by: usize,
    /// The last two bytes.
    before: [u8; 2],
}

/// What of a statement is being read.
#[derive(Debug)]
enum Part {
    /// What it is, as far as it was read.
    Beginning(Vec<u8>),
    /// Of this table, so deep in parentheses.
    Values { rows: u64, table: String, depth: u32 },
    /// There is nothing to be counted in the rest.
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Statement,
    Quotes(u8),
    /// After a backslash in them.
    Escape(u8),
    LineComment,
    /// Just begun: `/*!` and `/*M!` have statements in them.
    CommentOrNot,
    Comment,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            tables: BTreeMap::new(),
            inside: Inside::Statement,
            part: Part::Beginning(Vec::new()),
            delimiter: b";".to_vec(),
            ended_by: 0,
            before: [0; 2],
        }
    }
}

impl Rows {
    /// By name.
    pub(super) fn of_tables(self) -> BTreeMap<String, u64> {
        self.tables
    }

    /// The next bytes, wherever they are cut.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.read_byte(*byte);
            self.before = [self.before[1], *byte];
        }
    }

    fn read_byte(&mut self, byte: u8) {
        match self.inside {
            Inside::Statement => self.read_statement(byte),
            Inside::Quotes(mark) => {
                self.note(byte);
                if byte == mark {
                    // A doubled one ends it and begins it again.
                    self.inside = Inside::Statement;
                } else if byte == b'\\' && mark != b'`' {
                    self.inside = Inside::Escape(mark);
                }
            }
            Inside::Escape(mark) => self.inside = Inside::Quotes(mark),
            Inside::LineComment => {
                if byte == b'\n' {
                    self.inside = Inside::Statement;
                }
            }
            Inside::CommentOrNot => {
                self.inside = match byte {
                    b'!' => Inside::Statement,
                    b'M' if self.before[1] == b'*' => Inside::CommentOrNot,
                    _ => Inside::Comment,
                }
            }
            Inside::Comment => {
                if byte == b'/' && self.before[1] == b'*' {
                    self.inside = Inside::Statement;
                }
            }
        }
    }

    fn read_statement(&mut self, byte: u8) {
        if self.read_command(byte) {
            return;
        }
        match byte {
            b'\'' | b'"' | b'`' => self.inside = Inside::Quotes(byte),
            b'#' => self.inside = Inside::LineComment,
            b' ' if self.before == *b"--" => return self.begin_comment(Inside::LineComment, 2),
            b'\n' if self.before == *b"--" => return self.begin_comment(Inside::Statement, 2),
            b'*' if self.before[1] == b'/' => return self.begin_comment(Inside::CommentOrNot, 1),
            _ => {}
        }
        if self.is_end(byte) {
            self.end();
            return;
        }
        match &mut self.part {
            Part::Values { rows, depth, .. } => match byte {
                b'(' => {
                    *rows += u64::from(*depth == 0);
                    *depth += 1;
                }
                b')' => *depth = depth.saturating_sub(1),
                _ => {}
            },
            Part::Beginning(_) => {
                self.note(byte);
                self.decide(byte);
            }
            Part::Rest => {}
        }
    }

    /// The bytes before, so many, are of the comment already.
    fn begin_comment(&mut self, inside: Inside, of_comment: usize) {
        self.inside = inside;
        if let Part::Beginning(text) = &mut self.part {
            text.truncate(text.len().saturating_sub(of_comment));
        }
    }

    /// The client's own command, which ends with its line. Whether this byte is of one.
    fn read_command(&mut self, byte: u8) -> bool {
        let Part::Beginning(text) = &mut self.part else {
            return false;
        };
        let Some(delimiter) = text.strip_prefix(COMMAND) else {
            return false;
        };
        if byte == b'\n' {
            self.delimiter = delimiter.trim_ascii().to_vec();
            text.clear();
        } else {
            text.push(byte);
        }
        true
    }

    /// What kind of a statement it is, as soon as that is known.
    fn decide(&mut self, byte: u8) {
        let Part::Beginning(text) = &mut self.part else {
            return;
        };
        let is_known = |known: &&[u8]| text.starts_with(known) || known.starts_with(text);
        if ![COMMAND, TABLE, ROWS, b"--", b"/"].iter().any(is_known) {
            self.part = Part::Rest;
        } else if byte == b'('
            && let Some(name) = text.strip_prefix(TABLE)
        {
            self.tables.entry(unquoted(name)).or_default();
            self.part = Part::Rest;
        } else if text.ends_with(b" VALUES")
            && let Some(name) = text.strip_prefix(ROWS)
        {
            self.part = Part::Values {
                rows: 0,
                table: unquoted(name),
                depth: 0,
            };
        }
    }

    /// Whether the statement is over with this byte.
    fn is_end(&mut self, byte: u8) -> bool {
        if self.delimiter.get(self.ended_by) == Some(&byte) {
            self.ended_by += 1;
        } else {
            self.ended_by = usize::from(self.delimiter.first() == Some(&byte));
        }
        self.ended_by == self.delimiter.len()
    }

    fn end(&mut self) {
        self.ended_by = 0;
        let part = std::mem::replace(&mut self.part, Part::Beginning(Vec::new()));
        if let Part::Values { rows, table, .. } = part {
            *self.tables.entry(table).or_default() += rows;
        }
    }

    /// What the statement begins with.
    fn note(&mut self, byte: u8) {
        let Part::Beginning(text) = &mut self.part else {
            return;
        };
        if text.len() == BEGINNING_BYTES_MAX {
            self.part = Part::Rest;
        } else if !(text.is_empty() && byte.is_ascii_whitespace()) {
            text.push(byte);
        }
    }
}

/// Up to the quotation mark that ends a name.
fn unquoted(text: &[u8]) -> String {
    let mut name = Vec::new();
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte == b'`' && rest.next() != Some(&b'`') {
            break;
        }
        name.push(*byte);
    }
    String::from_utf8_lossy(&name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what `mariadb-dump` 10.11 writes.
    const DUMP: &str = r"/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop's
-- ------------------------------------------------------

/*!40101 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS `entries`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `entries` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `text` text NOT NULL COMMENT 'a\nINSERT INTO `entries` VALUES\n(1);',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=5;
LOCK TABLES `entries` WRITE;
/*!40000 ALTER TABLE `entries` DISABLE KEYS */;
INSERT INTO `entries` VALUES
(1,'a'),
(2,'b\n(1,2);\nINSERT INTO `x` VALUES'),
(3,'it\'s \\'),
(4,'); (''-- '),
(-5,0x00FF27);
INSERT INTO `entries` VALUES (6,NULL),(7,'');
/*!40000 ALTER TABLE `entries` ENABLE KEYS */;
UNLOCK TABLES;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`shop`@`%`*/ /*!50003 TRIGGER tr BEFORE INSERT ON entries FOR EACH ROW BEGIN
-- don't
# don't
/* don't */
INSERT INTO `log` VALUES
(1);
END 
*/;;
DELIMITER ;

CREATE TABLE `empty` (
  `a` int(11) DEFAULT NULL
);
/*!50001 CREATE VIEW `v` AS SELECT
 NULL AS `id` */;
CREATE TABLE `odd`` VALUES; (` (
  `x VALUES` int(11) DEFAULT NULL
) COMMENT='x';
INSERT INTO `odd`` VALUES; (` (`x VALUES`, `b`) VALUES (1,0x00FF27),
(2,NULL);
DELIMITER ;;
CREATE DEFINER=`shop`@`%` PROCEDURE `p`()
BEGIN SELECT 'x
DELIMITER ;
INSERT INTO `entries` VALUES
(1);
'; END
;;
DELIMITER ;
INSERT INTO `last` VALUES
(1);

-- Dump completed on 2026-11-27  3:42:57
";

    #[test]
    fn rows_are_told_from_what_only_looks_like_some() {
        let wanted = [("empty", 0), ("entries", 7), ("last", 1), ("odd` VALUES; (", 2)];
        let wanted: BTreeMap<String, u64> = wanted.map(|(name, rows)| (name.to_owned(), rows)).into();
        for length in [1, 2, 7, 64, DUMP.len()] {
            let mut rows = Rows::default();
            for piece in DUMP.as_bytes().chunks(length) {
                rows.read(piece);
            }
            assert_eq!(rows.of_tables(), wanted, "in pieces of {length} bytes");
        }
    }
}
