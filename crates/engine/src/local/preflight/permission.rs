//! The execute bits, as the kernel weighs them.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use crate::local::users::User;

/// Root may execute what anybody may; others are judged by the one class that they fall into.
pub(super) fn may_execute(metadata: &Metadata, user: &User) -> bool {
    let mode = metadata.mode();
    if !metadata.is_file() {
        return false;
    }
    if user.uid == 0 {
        return mode & 0o111 != 0;
    }
    let group = metadata.gid();
    let bit = if metadata.uid() == user.uid {
        0o100
    } else if group == user.gid || user.additional_gids.contains(&group) {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}
