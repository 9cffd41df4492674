//! The API itself, for what no command shows.

use std::fs;

use serde_json::Value;

use crate::{Platform, visit};

impl Platform {
    /// Fails the test unless the answer is 200 with JSON.
    pub fn ask(&self, path: &str) -> Value {
        let token = fs::read_to_string(self.token_file()).expect("the first token is kept");
        let header = format!("Authorization: Bearer {}\r\n", token.trim());
        let page = visit::get_with(self.api(), "localhost", path, &header).expect("the server listens");
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let body = page.text.split_once("\r\n\r\n").map(|(_, body)| body);
        serde_json::from_str(body.unwrap_or_default()).expect("the API answers in JSON")
    }
}
