//! What consoles and followed logs have in common.

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, close_code};

/// Everything was said. Without this code (RFC 6455, section 7.4.1) clients take the end for a fault.
pub(super) fn good_end() -> Message {
    Message::Close(Some(CloseFrame {
        code: close_code::NORMAL,
        reason: Utf8Bytes::default(),
    }))
}
