//! The two shapes of the wire: objects that leave out zero values, and words of which unknown ones are tolerated.

/// Declares an object: every field may be missing, and is left out when it is zero.
macro_rules! wire_object {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $(#[$doc])*
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "crate::wire::is_zero")]
                pub $field: $type,
            )*
        }
    };
}

/// Declares a closed set of words. The first is the zero value; it is also what unknown words read as.
macro_rules! wire_words {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $first:ident = $first_word:literal,
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
            schemars::JsonSchema,
        )]
        pub enum $name {
            $(
                $(#[$variant_doc])*
                #[serde(rename = $word)]
                $variant,
            )*
            #[default]
            #[serde(rename = $first_word, other)]
            $first,
        }

        impl $name {
            pub const ALL: &[Self] = &[Self::$first, $(Self::$variant),*];

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
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|word| word.as_str() == text);
                found.ok_or_else(|| $crate::UnknownWord(text.to_owned()))
            }
        }
    };
}

/// Declares one page of a list. Its three fields are always there, so that an empty list is still a list.
macro_rules! wire_list {
    (
        $(#[$doc:meta])*
        pub struct $name:ident { pub $items:ident: Vec<$type:ty>, }
    ) => {
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        $(#[$doc])*
        #[serde(default)]
        pub struct $name {
            pub $items: Vec<$type>,
            pub links: crate::Links,
            pub meta: crate::Meta,
        }
    };
}

pub(crate) use {wire_list, wire_object, wire_words};

/// True for what the wire leaves out.
pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// 64-bit numbers travel as strings.
pub(crate) mod number_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(u64),
        Text(String),
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes fields by reference"
    )]
    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(number),
            NumberOrText::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}
