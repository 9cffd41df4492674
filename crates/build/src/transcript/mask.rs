//! Secrets are shown as `***`, wherever they appear.

/// Shorter values are no secrets, but words and numbers that a log is full of.
const LENGTH_MIN: usize = 5;

/// Values that no log line may hold.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    /// Longest first, so that a value that contains another is masked whole.
    values: Vec<String>,
}

impl Mask {
    /// Values of several lines are masked line by line.
    pub(crate) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut lines: Vec<String> = values
            .into_iter()
            .flat_map(|value| {
                value
                    .lines()
                    .map(|line| line.trim().to_owned())
                    .collect::<Vec<_>>()
            })
            .filter(|line| line.len() >= LENGTH_MIN)
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
        lines.dedup();
        Self { values: lines }
    }

    pub(crate) fn apply(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| {
            if text.contains(value.as_str()) {
                text.replace(value.as_str(), "***")
            } else {
                text
            }
        })
    }
}

/// Without the values.
impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask")
            .field("values", &self.values.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_key_is_masked_and_short_values_are_not() {
        let mask = Mask::new(["-----BEGIN KEY-----\nabcdefgh\n".to_owned(), "true".to_owned()]);
        assert_eq!(mask.apply("x abcdefgh y true"), "x *** y true");
    }
}
