//! The two shapes the spec is made of: objects with named fields and choices among fixed words.

/// Declares an object of the spec: the struct, its wire form (zero values left out) and how it is read from the tree.
///
/// ```ignore
/// object! {
///     /// How an instance is stopped.
///     "a termination": pub struct Termination { pub grace_period_seconds: Option<u32> }
/// }
/// ```
macro_rules! object {
    (
        $(#[$doc:meta])*
        $noun:literal: pub struct $name:ident {
            $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "crate::model::is_zero")]
                pub $field: $type,
            )*
        }

        impl crate::decode::Decode for $name {
            fn decode(node: &crate::tree::Node, reader: &mut crate::decode::Reader) -> Self {
                const FIELDS: &[&str] = &[$(crate::decode::wire_name(stringify!($field))),*];
                let Some(fields) = reader.object(node, $noun, FIELDS) else {
                    return Self::default();
                };
                Self { $($field: reader.field(&fields, crate::decode::wire_name(stringify!($field)))),* }
            }
        }
    };
}

/// Declares a choice among fixed words, spelled on the wire as given. The first is the default.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $(#[$first_doc:meta])* $first:ident = $first_word:literal,
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            #[serde(rename = $first_word)]
            $first,
            $(
                $(#[$variant_doc])*
                #[serde(rename = $word)]
                $variant,
            )*
        }

        impl $name {
            pub const WORDS: &[&str] = &[$first_word, $($word),*];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl crate::decode::Decode for $name {
            fn decode(node: &crate::tree::Node, reader: &mut crate::decode::Reader) -> Self {
                match reader.word(node, Self::WORDS) {
                    Some($first_word) => Self::$first,
                    $(Some($word) => Self::$variant,)*
                    _ => Self::default(),
                }
            }
        }
    };
}

pub(crate) use {choice, object};
