//! The closing table: what was measured, ours beside theirs, and whether it is as good as promised.

use std::fmt;

use serde::Deserialize;

/// What was promised.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// Of ours to theirs.
    Ratio(f64),
    /// Of ours, in the line's unit.
    Most(f64),
    /// Shown for comparison.
    None,
}

/// One comparison.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) ours: f64,
    pub(super) theirs: Option<f64>,
    /// "docker run", "nginx".
    pub(super) other: String,
    pub(super) target: Target,
}

impl Line {
    pub(super) fn ratio(&self) -> Option<f64> {
        self.theirs
            .filter(|theirs| *theirs > 0.0)
            .map(|theirs| self.ours / theirs)
    }

    /// `None` where nothing was promised, or the other side is missing.
    pub(super) fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::Ratio(most) => self.ratio().map(|ratio| ratio <= most),
            Target::Most(most) => Some(self.ours <= most),
            Target::None => None,
        }
    }

    fn cells(&self) -> [String; 7] {
        let value = |number: f64| format!("{} {}", rounded(number), self.unit);
        [
            self.name.clone(),
            value(self.ours),
            self.theirs.map_or("–".to_owned(), value),
            self.other.clone(),
            self.ratio().map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            match self.target {
                Target::Ratio(most) => format!("ratio ≤ {most:.2}"),
                Target::Most(most) => format!("≤ {} {}", rounded(most), self.unit),
                Target::None => "–".to_owned(),
            },
            match self.is_met() {
                Some(true) => "met".to_owned(),
                Some(false) => "NOT MET".to_owned(),
                None => "–".to_owned(),
            },
        ]
    }
}

/// All lines, as Markdown that is also readable as it is.
#[derive(Debug)]
pub(super) struct Table<'a>(pub(super) &'a [Line]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["WHAT", "OURS", "THEIRS", "COMPARED WITH", "RATIO", "TARGET", ""].map(str::to_owned);
        let rows: Vec<[String; 7]> = std::iter::once(titles)
            .chain(self.0.iter().map(Line::cells))
            .collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 7] = std::array::from_fn(width);
        for (number, row) in rows.iter().enumerate() {
            let cells = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!(" {cell:<width$} "));
            writeln!(f, "|{}|", cells.collect::<Vec<_>>().join("|"))?;
            if number == 0 {
                let rules = widths.map(|width| "-".repeat(width + 2));
                writeln!(f, "|{}|", rules.join("|"))?;
            }
        }
        let promised = self.0.iter().filter_map(Line::is_met);
        let met = promised.clone().filter(|met| *met).count();
        write!(f, "\n{met} of {} targets are met", promised.count())
    }
}

/// Three digits say what a measurement on a shared machine can say.
fn rounded(number: f64) -> String {
    if number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ours: f64, theirs: Option<f64>, target: Target) -> Line {
        Line {
            name: "start".into(),
            unit: "ms".into(),
            ours,
            theirs,
            other: "docker".into(),
            target,
        }
    }

    #[test]
    fn a_target_is_a_ratio_or_an_amount() {
        assert_eq!(line(30.0, Some(100.0), Target::Ratio(0.35)).is_met(), Some(true));
        assert_eq!(line(36.0, Some(100.0), Target::Ratio(0.35)).is_met(), Some(false));
        assert_eq!(line(36.0, None, Target::Ratio(0.35)).is_met(), None);
        assert_eq!(line(21.0, Some(100.0), Target::Most(20.0)).is_met(), Some(false));
        assert_eq!(line(21.0, Some(100.0), Target::None).is_met(), None);
    }

    #[test]
    fn the_table_says_what_is_missed() {
        let lines = [
            line(30.0, Some(100.0), Target::Ratio(0.35)),
            line(21.44, Some(1000.0), Target::Most(20.0)),
            line(7.0, None, Target::None),
        ];
        let text = Table(&lines).to_string();
        assert!(
            text.contains("| start | 30.0 ms | 100 ms  | docker        | 0.30  | ratio ≤ 0.35 | met     |"),
            "{text}"
        );
        assert!(
            text.contains("| start | 21.4 ms | 1000 ms | docker        | 0.02  | ≤ 20.0 ms    | NOT MET |"),
            "{text}"
        );
        assert!(text.ends_with("1 of 2 targets are met"), "{text}");
    }
}
