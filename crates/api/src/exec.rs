//! Running a shell in an instance: a URL, then frames on a websocket.

use serde::{Deserialize, Serialize};

use crate::wire::wire_object;

wire_object! {
    pub struct ExecResponse {
        /// ws or wss, with its own token.
        pub url: String,
    }
}

/// A frame from the client. Empty input keeps the connection alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum ExecInputFrame {
    Stdin { data: String },
    Resize { width: u16, height: u16 },
}

wire_object! {
    /// A frame from the server.
    pub struct ExecOutputFrame {
        pub data: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_consoles_send() {
        let resize: ExecInputFrame =
            serde_json::from_str(r#"{"op":"resize","width":80,"height":24}"#).unwrap();
        assert_eq!(
            resize,
            ExecInputFrame::Resize {
                width: 80,
                height: 24
            }
        );
        let stdin = ExecInputFrame::Stdin { data: "ls\n".into() };
        assert_eq!(
            serde_json::to_string(&stdin).unwrap(),
            r#"{"op":"stdin","data":"ls\n"}"#
        );
    }
}
