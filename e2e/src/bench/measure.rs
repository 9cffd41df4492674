//! Taking turns, and what remains of many measurements: the median, for other work on the machine moves all of them.

use std::{fmt, time::Duration};

use super::interrupt;

/// Lets both sides do their work `rounds` times in turn, after one round that is not counted. Who begins changes from round to round.
pub(super) fn in_turn<A, B>(
    rounds: usize,
    mut ours: impl FnMut() -> A,
    mut theirs: impl FnMut() -> B,
) -> (Vec<A>, Vec<B>) {
    drop((ours(), theirs()));
    let (mut our_results, mut their_results) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        interrupt::check();
        if round % 2 == 0 {
            our_results.push(ours());
            their_results.push(theirs());
        } else {
            their_results.push(theirs());
            our_results.push(ours());
        }
    }
    (our_results, their_results)
}

/// Milliseconds of the same work, several times.
#[derive(Debug, Clone)]
pub(super) struct Series {
    sorted: Vec<f64>,
}

impl Series {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        assert!(!sorted.is_empty(), "a series has at least one round");
        Self { sorted }
    }

    pub(super) fn of_times(times: impl IntoIterator<Item = Duration>) -> Self {
        Self::of(times.into_iter().map(milliseconds))
    }

    pub(super) fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        if self.sorted.len() % 2 == 1 {
            self.sorted[middle]
        } else {
            f64::midpoint(self.sorted[middle - 1], self.sorted[middle])
        }
    }
}

/// "42 ms (40–55)".
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.sorted[0], self.sorted[self.sorted.len() - 1]);
        write!(f, "{:.0} ms ({least:.0}–{most:.0})", self.median())
    }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two_middle_ones() {
        assert!((Series::of([5.0, 1.0, 90.0]).median() - 5.0).abs() < f64::EPSILON);
        assert!((Series::of([4.0, 1.0, 90.0, 6.0]).median() - 5.0).abs() < f64::EPSILON);
        assert_eq!(Series::of([5.0, 1.0, 90.0]).to_string(), "5 ms (1–90)");
    }

    #[test]
    fn both_sides_take_turns_and_the_first_round_does_not_count() {
        let order = std::cell::RefCell::new(String::new());
        let (ours, theirs) = in_turn(
            2,
            || order.borrow_mut().push('o'),
            || order.borrow_mut().push('t'),
        );
        assert_eq!((ours.len(), theirs.len()), (2, 2));
        assert_eq!(order.into_inner(), "ototto");
    }
}
