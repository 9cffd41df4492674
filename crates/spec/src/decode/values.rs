//! How single values are read: text, numbers, truth values, choices, lists.

use super::{Decode, Reader, closest};
use crate::{
    error::Problem,
    model::Sensitive,
    tree::{Node, Resolved, Value},
};

/// A raw identifier's name on the wire: `r#type` is `type`.
pub(crate) const fn wire_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

impl Reader {
    /// One of `words`; `None` when nothing was written or it was refused.
    pub(crate) fn word(&mut self, node: &Node, words: &'static [&'static str]) -> Option<&'static str> {
        let text = String::decode(node, self);
        if text.is_empty() {
            return None;
        }
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let listed: Vec<&str> = words
                .iter()
                .copied()
                .filter(|word| !is_placeholder(word))
                .collect();
            let meant = closest(&text, &listed);
            let rule = format!("must be one of {}", listed.join(", "));
            let error = self.refuse(node, Problem::UnknownValue, rule);
            error.suggestion = meant.map(|word| format!("did you mean `{word}`?"));
        }
        found
    }

    fn whole_number<T: TryFrom<i64> + Default>(&mut self, node: &Node, rule: &str) -> T {
        match resolved(node) {
            Some(Resolved::Null) => T::default(),
            Some(Resolved::Integer(number)) => T::try_from(number).unwrap_or_else(|_| {
                self.refuse(node, Problem::OutOfRange, rule);
                T::default()
            }),
            other => {
                let error = self.refuse(node, Problem::WrongType, rule);
                if other == Some(Resolved::Text) && scalar_text(node).parse::<i64>().is_ok() {
                    error.suggestion = Some("write it without quotes".into());
                }
                T::default()
            }
        }
    }
}

/// The zero value that the wire knows but nobody writes.
fn is_placeholder(word: &str) -> bool {
    word.starts_with("UNSPECIFIED") || word == "UNSET"
}

fn resolved(node: &Node) -> Option<Resolved> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.resolve()),
        Value::List(_) | Value::Object(_) => None,
    }
}

fn scalar_text(node: &Node) -> &str {
    match &node.value {
        Value::Scalar(scalar) => &scalar.text,
        Value::List(_) | Value::Object(_) => "",
    }
}

impl Decode for String {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        match resolved(node) {
            Some(Resolved::Null) => Self::new(),
            Some(Resolved::Text) => scalar_text(node).to_owned(),
            Some(other) => {
                let text = scalar_text(node).to_owned();
                let rule = format!("must be text, but without quotes this is {}", other.description());
                let error = reader.refuse(node, Problem::WrongType, rule);
                let shown = error
                    .value
                    .is_some()
                    .then(|| format!("put it in quotes: \"{text}\""));
                error.suggestion = Some(shown.unwrap_or_else(|| "put it in quotes".into()));
                text
            }
            None => {
                reader.refuse(node, Problem::WrongType, "must be text");
                Self::new()
            }
        }
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Decode for Sensitive {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        String::decode(node, reader).into()
    }

    fn is_absent(&self) -> bool {
        self.reveal().is_empty()
    }
}

impl Decode for bool {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        match resolved(node) {
            Some(Resolved::Null) => false,
            Some(Resolved::Bool(value)) => value,
            _ => {
                let meant = meant_bool(scalar_text(node));
                let error = reader.refuse(node, Problem::WrongType, "must be true or false");
                error.suggestion = meant.map(|value| format!("write {value}"));
                meant.unwrap_or_default()
            }
        }
    }
}

fn meant_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" | "true" | "1" => Some(true),
        "no" | "n" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Every 16-bit number of a spec is a port.
impl Decode for u16 {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        reader.whole_number(node, "must be a port: a whole number from 1 to 65535")
    }
}

impl Decode for u32 {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        reader.whole_number(node, "must be a whole number, 0 or more")
    }
}

impl Decode for f64 {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        match resolved(node) {
            Some(Resolved::Null) => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "thresholds of alerts are small")]
            Some(Resolved::Integer(number)) => number as Self,
            Some(Resolved::Float(number)) if number.is_finite() => number,
            _ => {
                reader.refuse(node, Problem::WrongType, "must be a number");
                0.0
            }
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        if node.is_null() {
            return None;
        }
        let value = T::decode(node, reader);
        (!value.is_absent()).then_some(value)
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        Self::new(T::decode(node, reader))
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, reader: &mut Reader) -> Self {
        match &node.value {
            Value::List(items) => reader.items(items),
            _ if node.is_null() => Self::new(),
            _ => {
                let error = reader.refuse(node, Problem::WrongType, "must be a list");
                error.suggestion = Some("start each item with `- `".into());
                Self::new()
            }
        }
    }
}
