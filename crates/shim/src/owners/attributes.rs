//! Ids in extended attributes: who may use a file's capabilities, and users and groups of access control lists.

/// `security.capability`, linux/capability.h: a magic number with the revision in its highest byte, two pairs of permitted and
/// inheritable sets, and since revision 3 the root user of the user namespace in which they count. All little-endian.
const CAPABILITY: &[u8] = b"security.capability";
const REVISION_MASK: u32 = 0xFF00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const REVISION_2_BYTES: usize = 20;

/// `system.posix_acl_*`, linux/posix_acl_xattr.h: a version, then entries of tag, permissions and id.
const LISTS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
const LIST_HEADER_BYTES: usize = 4;
const LIST_ENTRY_BYTES: usize = 8;
const TAG_USER: u16 = 0x02;
const TAG_GROUP: u16 = 0x08;

/// The attribute's value with every id replaced; attributes without ids as they are. `None`: it cannot be kept, because the kernel
/// would not use it either.
pub fn shifted(name: &[u8], value: &[u8], shift: impl Fn(u32) -> u32) -> Option<Vec<u8>> {
    if name == CAPABILITY {
        capability(value, shift)
    } else if LISTS.contains(&name) {
        Some(list(value, shift))
    } else {
        Some(value.to_owned())
    }
}

/// Revision 2 means the root of the file system's own namespace: id 0. Revision 1, of 2008 and before, is dropped.
fn capability(value: &[u8], shift: impl Fn(u32) -> u32) -> Option<Vec<u8>> {
    let magic = number(value, 0)?;
    let root = match (magic & REVISION_MASK, value.len()) {
        (REVISION_2, REVISION_2_BYTES) => 0,
        (REVISION_3, length) if length == REVISION_2_BYTES + 4 => number(value, REVISION_2_BYTES)?,
        _ => return None,
    };
    let root = shift(root);
    let flags = magic & !REVISION_MASK;
    let revision = if root == 0 { REVISION_2 } else { REVISION_3 };
    let mut shifted = (revision | flags).to_le_bytes().to_vec();
    shifted.extend_from_slice(&value[4..REVISION_2_BYTES]);
    if root != 0 {
        shifted.extend_from_slice(&root.to_le_bytes());
    }
    Some(shifted)
}

fn list(value: &[u8], shift: impl Fn(u32) -> u32) -> Vec<u8> {
    let mut shifted = value.to_owned();
    let entries = shifted.get_mut(LIST_HEADER_BYTES..).unwrap_or_default();
    for entry in entries.chunks_exact_mut(LIST_ENTRY_BYTES) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        if tag == TAG_USER || tag == TAG_GROUP {
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            entry[4..].copy_from_slice(&shift(id).to_le_bytes());
        }
    }
    shifted
}

fn number(value: &[u8], at: usize) -> Option<u32> {
    let bytes = value.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// cap_net_bind_service, permitted and effective.
    const PLAIN: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn capabilities_count_in_the_instance_and_come_back_as_they_were() {
        let moved = shifted(CAPABILITY, &PLAIN, |id| id + 1_000_000).unwrap();
        let mut expected = PLAIN.to_vec();
        expected[3] = 3;
        expected.extend_from_slice(&1_000_000_u32.to_le_bytes());
        assert_eq!(moved, expected);
        let back = shifted(CAPABILITY, &moved, |id| id - 1_000_000).unwrap();
        assert_eq!(back, PLAIN);
    }

    #[test]
    fn capabilities_that_no_kernel_reads_are_dropped() {
        assert_eq!(shifted(CAPABILITY, &PLAIN[..12], |id| id), None);
        assert_eq!(shifted(CAPABILITY, &[], |id| id), None);
    }

    #[test]
    fn users_and_groups_of_a_list_are_moved_and_nothing_else_of_it() {
        let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &[7, 0], &id.to_le_bytes()].concat();
        let list = |user, group| {
            let owner = entry(0x01, u32::MAX);
            [
                &[2, 0, 0, 0][..],
                &owner,
                &entry(TAG_USER, user),
                &entry(TAG_GROUP, group),
            ]
            .concat()
        };
        let moved = shifted(LISTS[0], &list(5, 6), |id| id + 100).unwrap();
        assert_eq!(moved, list(105, 106));
    }
}
