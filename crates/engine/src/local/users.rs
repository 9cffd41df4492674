//! The user that an image's process runs as: `user`, `uid`, `user:group` or `uid:gid`, looked up in the image's own files.

use std::path::Path;

use mainstay_images::tree::{LayerTree, TreeError};

/// No account file is larger; a larger one is read up to here.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Ids as seen from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) additional_gids: Vec<u32>,
    pub(super) home: String,
}

/// The image has no such user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownUser(pub(super) String);

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// `None` is root.
pub(super) fn look_up(tree: &LayerTree, user: Option<&str>) -> Result<Result<User, UnknownUser>, TreeError> {
    let passwd = read(tree, "/etc/passwd")?;
    let group = read(tree, "/etc/group")?;
    Ok(resolve(user.unwrap_or("0"), &passwd, &group))
}

fn read(tree: &LayerTree, path: &str) -> Result<String, TreeError> {
    let bytes = tree.read(Path::new(path), FILE_BYTES)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<User, UnknownUser> {
    let (user, group_wanted) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let number: Option<u32> = user.parse().ok();
    let account = accounts(passwd).find(|account| account.name == user || Some(account.uid) == number);
    let uid = account
        .as_ref()
        .map(|account| account.uid)
        .or(number)
        .ok_or_else(|| UnknownUser(wanted.to_owned()))?;
    let gid = match group_wanted {
        Some(name) => groups(group)
            .find(|group| group.name == name)
            .map(|group| group.gid)
            .or_else(|| name.parse().ok())
            .ok_or_else(|| UnknownUser(wanted.to_owned()))?,
        // A number without an account has no group of its own: root's, as container engines do.
        None => account.as_ref().map_or(0, |account| account.gid),
    };
    // Naming the group replaces the account's further groups.
    let additional_gids = match (&account, group_wanted) {
        (Some(account), None) => groups(group)
            .filter(|group| group.members.split(',').any(|member| member == account.name))
            .map(|group| group.gid)
            .collect(),
        _ => Vec::new(),
    };
    let home = account.map_or("/", |account| account.home);
    Ok(User {
        uid,
        gid,
        additional_gids,
        home: if home.is_empty() {
            "/".to_owned()
        } else {
            home.to_owned()
        },
    })
}

/// passwd(5).
fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some(Account {
            name: fields.first()?,
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: fields.get(5)?,
        })
    })
}

/// group(5).
fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some(Group {
            name: fields.first()?,
            gid: fields.get(2)?.parse().ok()?,
            members: fields.get(3)?.trim(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nextra:x:50:other,app\n";

    fn resolved(wanted: &str) -> Result<(u32, u32, Vec<u32>, String), UnknownUser> {
        resolve(wanted, PASSWD, GROUP).map(|user| (user.uid, user.gid, user.additional_gids, user.home))
    }

    #[test]
    fn names_and_numbers_lead_to_the_account() {
        let expected = (1000, 1001, vec![50], "/home/app".to_owned());
        assert_eq!(resolved("app"), Ok(expected.clone()));
        assert_eq!(resolved("1000"), Ok(expected));
        assert_eq!(
            resolved("app:extra"),
            Ok((1000, 50, vec![], "/home/app".to_owned()))
        );
    }

    #[test]
    fn numbers_need_no_account_and_names_do() {
        assert_eq!(resolved("4711"), Ok((4711, 0, vec![], "/".to_owned())));
        assert_eq!(resolved("4711:42"), Ok((4711, 42, vec![], "/".to_owned())));
        assert_eq!(resolved("nobody"), Err(UnknownUser("nobody".to_owned())));
        assert_eq!(
            resolved("app:nogroup"),
            Err(UnknownUser("app:nogroup".to_owned()))
        );
    }
}
