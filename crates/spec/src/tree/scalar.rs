//! What an unquoted value is: YAML 1.2's core schema.

use super::Scalar;

/// The meaning of a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Integer(i64),
    /// Also whole numbers beyond 64 bits.
    Float(f64),
    Text,
}

impl Scalar {
    pub(crate) fn resolve(&self) -> Resolved {
        if self.quoted {
            return Resolved::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Resolved::Null,
            "true" | "True" | "TRUE" => Resolved::Bool(true),
            "false" | "False" | "FALSE" => Resolved::Bool(false),
            text => number(text).unwrap_or(Resolved::Text),
        }
    }
}

impl Resolved {
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text => "text",
        }
    }
}

fn number(text: &str) -> Option<Resolved> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let integer = match unsigned.get(..2) {
        Some("0x") => i64::from_str_radix(&unsigned[2..], 16).ok(),
        Some("0o") => i64::from_str_radix(&unsigned[2..], 8).ok(),
        _ if unsigned.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    integer
        .map(Resolved::Integer)
        .or_else(|| float(text, unsigned).map(Resolved::Float))
}

fn float(text: &str, unsigned: &str) -> Option<f64> {
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let digit_first = unsigned
        .trim_start_matches('.')
        .starts_with(|c: char| c.is_ascii_digit());
    let only_number_characters = unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    (digit_first && only_number_characters)
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Resolved {
        Scalar {
            text: text.into(),
            quoted: false,
        }
        .resolve()
    }

    #[test]
    fn unquoted_values_follow_the_core_schema() {
        assert_eq!(plain("~"), Resolved::Null);
        assert_eq!(plain("True"), Resolved::Bool(true));
        assert_eq!(plain("8080"), Resolved::Integer(8080));
        assert_eq!(plain("-3"), Resolved::Integer(-3));
        assert_eq!(plain("0x1F"), Resolved::Integer(31));
        assert_eq!(plain("1.10"), Resolved::Float(1.1));
        assert_eq!(plain("99999999999999999999"), Resolved::Float(1e20));
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for text in [
            "1.2.3", "10.0.0.1", "yes", "on", "v1", "-", "1-2", "inf", "nan", "e5", ".", "0xZZ",
        ] {
            assert_eq!(plain(text), Resolved::Text, "{text}");
        }
    }

    #[test]
    fn quotes_make_text() {
        let scalar = Scalar {
            text: "8080".into(),
            quoted: true,
        };
        assert_eq!(scalar.resolve(), Resolved::Text);
    }
}
