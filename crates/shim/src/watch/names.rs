//! Answers of name servers that say: there is no such name (NXDOMAIN, RFC 1035, section 4.1.1).
//!
//! They are heard where they arrive, so no resolver of ours stands in the way, and whatever library the app asks with is seen.

use super::taps::{PACKET_BYTES, header_bytes};
use crate::system::FilterStep;

const UDP: u8 = 17;
const UDP_HEADER_BYTES: usize = 8;
/// Counted from UDP's header.
const ANSWER_CODE_AT: u32 = 11;
const DNS_PORT: u16 = 53;
const DNS_HEADER_BYTES: usize = 12;
const NO_SUCH_NAME: u8 = 3;
/// A name as text is never longer, nor one of its labels.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// UDP, no later fragment, from port 53, with "no such name" in the header behind UDP's own.
pub(super) const FILTER: &[FilterStep] = &[
    FilterStep::new(0x30, 0, 0, 9),
    FilterStep::new(0x15, 0, 9, UDP as u32),
    FilterStep::new(0x28, 0, 0, 6),
    FilterStep::new(0x45, 7, 0, 0x1fff),
    FilterStep::new(0xb1, 0, 0, 0),
    FilterStep::new(0x48, 0, 0, 0),
    FilterStep::new(0x15, 0, 4, DNS_PORT as u32),
    FilterStep::new(0x50, 0, 0, ANSWER_CODE_AT),
    FilterStep::new(0x54, 0, 0, 0x0f),
    FilterStep::new(0x15, 0, 1, NO_SUCH_NAME as u32),
    FilterStep::new(0x06, 0, 0, PACKET_BYTES as u32),
    FilterStep::new(0x06, 0, 0, 0),
];

/// The name that an IPv4 packet says does not exist; checked anew, for packets may have come before the filter was there.
pub(super) fn unknown(packet: &[u8]) -> Option<String> {
    let is_udp = packet.first()? >> 4 == 4 && *packet.get(9)? == UDP;
    let datagram = packet.get(header_bytes(packet)?..).filter(|_| is_udp)?;
    if datagram.get(..2)? != DNS_PORT.to_be_bytes() {
        return None;
    }
    let message = datagram.get(UDP_HEADER_BYTES..)?;
    let is_answer = message.get(2)? & 0x80 != 0;
    let has_question = message.get(4..6)? == [0, 1];
    if !is_answer || message.get(3)? & 0x0f != NO_SUCH_NAME || !has_question {
        return None;
    }
    name(message.get(DNS_HEADER_BYTES..)?)
}

/// Labels, each behind its length; those of a question are never compressed.
fn name(mut question: &[u8]) -> Option<String> {
    let mut name = String::new();
    loop {
        let (length, rest) = question.split_first()?;
        let length = usize::from(*length);
        if length == 0 {
            return (!name.is_empty()).then_some(name);
        }
        let label = rest.get(..length).filter(|_| length <= LABEL_BYTES_MAX)?;
        if !name.is_empty() {
            name.push('.');
        }
        // Any byte may stand in a label; what is shown to people is text.
        name.extend(label.iter().map(|byte| {
            if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '?'
            }
        }));
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        question = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer from port 53 with these two flag bytes for "cache.internal".
    fn answer(flags: [u8; 2]) -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        packet.extend([0, 53, 0x9c, 0x40, 0, 0, 0, 0]);
        packet.extend([0x12, 0x34, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0]);
        packet.extend(b"\x05cache\x08internal\0\0\x01\0\x01");
        packet
    }

    #[test]
    fn an_answer_without_such_a_name_tells_the_name() {
        assert_eq!(unknown(&answer([0x81, 0x83])).as_deref(), Some("cache.internal"));
    }

    #[test]
    fn other_answers_and_the_question_tell_nothing() {
        assert_eq!(unknown(&answer([0x81, 0x80])), None, "it exists");
        assert_eq!(unknown(&answer([0x81, 0x82])), None, "the server failed");
        assert_eq!(unknown(&answer([0x01, 0x03])), None, "a question");
        let mut from_elsewhere = answer([0x81, 0x83]);
        from_elsewhere[21] = 54;
        assert_eq!(unknown(&from_elsewhere), None);
    }

    #[test]
    fn broken_packets_tell_nothing() {
        let whole = answer([0x81, 0x83]);
        for length in 0..whole.len() - 4 {
            assert_eq!(unknown(&whole[..length]), None, "{length}");
        }
        let mut endless = whole;
        endless[40] = 200;
        assert_eq!(unknown(&endless), None);
    }

    #[test]
    fn control_characters_are_not_passed_on() {
        let mut packet = answer([0x81, 0x83]);
        packet[41] = 0x1b;
        assert_eq!(unknown(&packet).as_deref(), Some("?ache.internal"));
    }
}
