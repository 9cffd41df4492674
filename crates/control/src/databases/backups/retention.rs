//! Which backups go, and when the next one is due. Pure.

use jiff::{SignedDuration, Timestamp};
use mainstay_spec::ids::BackupId;
use mainstay_store::{BackupRow, BackupState};

use crate::config::BackupsConfig;

/// Failed ones that are remembered, the newest.
const FAILED_KEPT: usize = 10;
/// A failed one is tried again after so long, or at the next time if that is sooner.
const TRIED_AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Those that are not kept any more. `backups` has the newest first.
pub(super) fn surplus(backups: &[BackupRow], config: &BackupsConfig, now: Timestamp) -> Vec<BackupId> {
    let oldest = now
        .checked_sub(seconds(config.keep_seconds))
        .unwrap_or(Timestamp::MIN);
    let keep = usize::try_from(config.keep).unwrap_or(usize::MAX);
    let (mut good, mut failed) = (0, 0);
    let mut gone = Vec::new();
    for (place, backup) in backups.iter().enumerate() {
        let (count, most) = match backup.state {
            BackupState::Good => (&mut good, keep),
            BackupState::Failed => (&mut failed, FAILED_KEPT),
            BackupState::Pending | BackupState::Running | BackupState::Verifying => continue,
        };
        *count += 1;
        // The newest good one is all that there is to go back to; a failure is not forgotten before something newer went well or wrong.
        let is_newest = *count == 1 && (backup.state == BackupState::Good || place == 0);
        if !is_newest && (*count > most || backup.created_at < oldest) {
            gone.push(backup.id);
        }
    }
    gone
}

/// When the schedule wants the next one of a database that exists since `since`; `None`: never. `backups` has the newest first.
pub(super) fn due_at(backups: &[BackupRow], config: &BackupsConfig, since: Timestamp) -> Option<Timestamp> {
    if config.every_seconds == 0 {
        return None;
    }
    let every = seconds(config.every_seconds);
    let (from, after) = match backups.first() {
        None => (since, every),
        Some(last) if last.state == BackupState::Failed => {
            let ended = last.finished_at.unwrap_or(last.created_at);
            (ended, every.min(TRIED_AGAIN_AFTER))
        }
        Some(last) => (last.created_at, every),
    };
    from.checked_add(after).ok()
}

fn seconds(count: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use mainstay_spec::ids::DatabaseId;
    use mainstay_store::{BackupCause, BackupFailure};

    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + day * DAY).unwrap()
    }

    /// Of that day.
    fn backup(day: i64, state: BackupState) -> BackupRow {
        BackupRow {
            id: BackupId::from_uuid(uuid::Uuid::from_u128(u128::try_from(day).unwrap())),
            database: DatabaseId::from_uuid(uuid::Uuid::nil()),
            cause: BackupCause::Schedule,
            state,
            failure: (state == BackupState::Failed).then_some(BackupFailure::Dump),
            message: String::new(),
            bytes: None,
            sha256: None,
            tables: Vec::new(),
            created_at: at(day),
            finished_at: Some(at(day)),
        }
    }

    fn days(gone: &[BackupId]) -> Vec<u128> {
        gone.iter().map(|id| id.as_uuid().as_u128()).collect()
    }

    fn config(keep: u32, keep_days: u64) -> BackupsConfig {
        BackupsConfig {
            keep,
            keep_seconds: keep_days * DAY.unsigned_abs(),
            ..BackupsConfig::default()
        }
    }

    #[test]
    fn the_newest_good_ones_are_kept_by_number_and_by_age() {
        use BackupState::{Failed, Good, Running};
        let backups: Vec<BackupRow> = [
            (9, Running),
            (8, Good),
            (7, Failed),
            (6, Good),
            (5, Good),
            (1, Good),
        ]
        .map(|(day, state)| backup(day, state))
        .into();
        assert_eq!(days(&surplus(&backups, &config(2, 30), at(9))), [5, 1]);
        assert_eq!(days(&surplus(&backups, &config(9, 3), at(9))), [5, 1]);
        assert_eq!(days(&surplus(&backups, &config(9, 30), at(9))), [0_u128; 0]);
    }

    #[test]
    fn the_last_good_one_and_the_last_word_stay_however_old() {
        use BackupState::{Failed, Good};
        let backups = [backup(3, Failed), backup(2, Good), backup(1, Good)];
        assert_eq!(days(&surplus(&backups, &config(5, 1), at(400))), [1]);
        let only_failed: Vec<BackupRow> = (1..=15).rev().map(|day| backup(day, Failed)).collect();
        assert_eq!(
            days(&surplus(&only_failed, &config(5, 300), at(20))),
            [5, 4, 3, 2, 1]
        );
    }

    #[test]
    fn the_next_one_is_due_after_the_last_and_a_failed_one_is_tried_again_sooner() {
        use BackupState::{Failed, Good};
        let config = config(7, 30);
        assert_eq!(due_at(&[], &config, at(0)), Some(at(1)));
        assert_eq!(
            due_at(&[backup(5, Good), backup(4, Good)], &config, at(0)),
            Some(at(6))
        );
        let again = at(5) + TRIED_AGAIN_AFTER;
        assert_eq!(
            due_at(&[backup(5, Failed), backup(4, Good)], &config, at(0)),
            Some(again)
        );
        let never = BackupsConfig {
            every_seconds: 0,
            ..config
        };
        assert_eq!(due_at(&[], &never, at(0)), None);
    }
}
