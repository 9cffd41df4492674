//! Docker's Engine API on its socket: what its command line program does, without the program.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// One request on a connection of its own. An answer without a body is `null`.
pub(super) fn call(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    // HTTP/1.0: the body comes in one piece and ends with the connection.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).map_err(|reason| io::Error::other(format!("{method} {path}: {reason}")))
}

fn parse(answer: &str) -> Result<Value, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        return Err(format!("{status} {}", body.trim()));
    }
    if body.trim().is_empty() {
        return Ok(Value::Null);
    }
    // The answer to a ping is a word.
    Ok(serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(parse("HTTP/1.0 204 No Content\r\nA: b\r\n\r\n"), Ok(Value::Null));
        assert_eq!(
            parse("HTTP/1.0 201 Created\r\n\r\n{\"Id\":\"ab\"}\n"),
            Ok(json!({ "Id": "ab" }))
        );
        assert_eq!(parse("HTTP/1.0 200 OK\r\n\r\nOK"), Ok(json!("OK")));
        assert_eq!(
            parse("HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no\"}\n"),
            Err("404 {\"message\":\"no\"}".into())
        );
    }
}
