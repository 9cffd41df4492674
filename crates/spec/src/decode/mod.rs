//! Tree → types. Unlike serde this does not stop at the first error: what is wrong is noted, a default takes its place, and reading goes on.
//!
//! Reading an object names all fields of its type, so the same list that fills the struct also finds misspelt keys. A misspelt key whose meaning
//! is clear is reported and then read as what was meant, so that mistakes below it are found in the same run.

mod macros;
mod spelling;
mod values;

use std::collections::BTreeMap;

pub(crate) use macros::{choice, object};
pub(crate) use spelling::closest;
pub(crate) use values::wire_name;

use crate::{
    error::{ERRORS_MAX, Problem, SpecError},
    tree::{Entry, Node, Place, Value},
};

/// A type that can be read from the tree. Never fails: errors go to the reader.
pub(crate) trait Decode: Sized + Default {
    fn decode(node: &Node, reader: &mut Reader) -> Self;

    /// True for what counts as not written, like empty text.
    fn is_absent(&self) -> bool {
        false
    }
}

/// Where each field that was read stands, by path.
pub(crate) type Places = BTreeMap<String, Place>;

/// The state of one reading: where we are, what was wrong so far, where everything stood.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    path: String,
    pub(crate) errors: Vec<SpecError>,
    pub(crate) warnings: Vec<SpecError>,
    pub(crate) places: Places,
}

/// The entries of an object by the name of the field that they fill.
pub(crate) struct Fields<'a>(BTreeMap<&'static str, &'a Entry>);

impl Reader {
    /// Notes an error about the value that is being read.
    pub(crate) fn refuse(
        &mut self,
        node: &Node,
        problem: Problem,
        rule: impl Into<String>,
    ) -> &mut SpecError {
        let error = SpecError::new(self.path.clone(), problem, rule);
        let error = match &node.value {
            Value::Scalar(scalar) => error.value(&scalar.text),
            Value::List(_) | Value::Object(_) => error.value(node.description()),
        };
        self.note(error.at(node.place.line, node.place.column))
    }

    fn note(&mut self, error: SpecError) -> &mut SpecError {
        // One more than is shown, so that the cut is noticed; what is beyond overwrites the last.
        if self.errors.len() > ERRORS_MAX {
            self.errors.pop();
        }
        self.errors.push(error);
        self.errors.last_mut().expect("it was just pushed")
    }

    /// Finds the entries for the fields of `type_name`; notes unknown and repeated keys.
    pub(crate) fn object<'a>(
        &mut self,
        node: &'a Node,
        type_name: &str,
        known: &[&'static str],
    ) -> Option<Fields<'a>> {
        let Value::Object(entries) = &node.value else {
            if !node.is_null() {
                self.refuse(
                    node,
                    Problem::WrongType,
                    format!("must be an object with the fields of {type_name}"),
                );
            }
            return None;
        };
        let mut fields = BTreeMap::new();
        let mut unknown = Vec::new();
        for entry in entries {
            match known.iter().find(|name| **name == entry.key) {
                Some(name) if fields.contains_key(name) => self.refuse_repeated(entry),
                Some(name) => _ = fields.insert(*name, entry),
                None => unknown.push(entry),
            }
        }
        for entry in unknown {
            let meant = closest(&entry.key, known);
            self.refuse_unknown(entry, type_name, meant);
            if let Some(name) = meant {
                fields.entry(name).or_insert(entry);
            }
        }
        Some(Fields(fields))
    }

    /// Reads one field, if it is there.
    pub(crate) fn field<T: Decode>(&mut self, fields: &Fields<'_>, name: &'static str) -> T {
        let Some(entry) = fields.0.get(name) else {
            return T::default();
        };
        let place = match entry.value.value {
            Value::Scalar(_) if !entry.value.is_null() => entry.value.place,
            _ => entry.key_place,
        };
        self.inside(&format!(".{name}"), place, |reader| {
            T::decode(&entry.value, reader)
        })
    }

    /// Reads the items of a list.
    pub(crate) fn items<T: Decode>(&mut self, items: &[Node]) -> Vec<T> {
        let read = |(index, item): (usize, &Node)| {
            self.inside(&format!("[{index}]"), item.place, |reader| {
                if item.is_null() {
                    reader.refuse(item, Problem::WrongType, "must not be empty");
                }
                T::decode(item, reader)
            })
        };
        items.iter().enumerate().map(read).collect()
    }

    fn inside<T>(&mut self, step: &str, place: Place, read: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.path.len();
        self.path.push_str(if outside == 0 {
            step.trim_start_matches('.')
        } else {
            step
        });
        self.places.insert(self.path.clone(), place);
        let value = read(self);
        self.path.truncate(outside);
        value
    }

    fn refuse_repeated(&mut self, entry: &Entry) {
        let path = self.path_of(&entry.key);
        let error = SpecError::new(path, Problem::DuplicateField, "the field is given twice");
        self.note(error.at(entry.key_place.line, entry.key_place.column));
    }

    fn refuse_unknown(&mut self, entry: &Entry, type_name: &str, meant: Option<&str>) {
        let path = self.path_of(&entry.key);
        let error = SpecError::new(
            path,
            Problem::UnknownField,
            format!("unknown field of {type_name}"),
        );
        let error = self.note(error.at(entry.key_place.line, entry.key_place.column));
        error.suggestion = meant.map(|name| format!("did you mean `{name}`?"));
    }

    fn path_of(&self, key: &str) -> String {
        let key: String = key.chars().take(60).collect();
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }
}
