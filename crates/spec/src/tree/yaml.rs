//! YAML events → tree. Not recursive; stops at the first limit that is passed, so that no text can take much time or memory.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag, options};

use super::{DEPTH_MAX, EXPANDED_BYTES_MAX, Entry, Node, Place, Scalar, VALUES_MAX, Value};
use crate::error::{Problem, SpecError};

/// The key whose objects are merged into the one that it stands in.
const MERGE_KEY: &str = "<<";

pub(super) fn read(text: &str) -> Result<Node, SpecError> {
    let options = options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        emit_comments: false,
        // A spec needs none, and masses of them are slow to read.
        disallow_directives: true,
    };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| refused_by_parser(&error))?;
        builder.event(event, span)?;
    }
    builder
        .root
        .ok_or_else(|| SpecError::new("", Problem::Required, "the spec is empty"))
}

fn refused_by_parser(error: &ScanError) -> SpecError {
    let place = place_of(*error.marker());
    let message = error.info();
    let problem = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Problem::TooLarge,
        _ => Problem::Syntax,
    };
    SpecError::new("", problem, format!("not valid YAML: {message}")).at(place.line, place.column)
}

fn place_of(marker: granit_parser::Marker) -> Place {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Place {
        line: number(marker.line().max(1)),
        column: number(marker.col()).saturating_add(1),
    }
}

/// Collections that are not closed yet, innermost last.
#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    values: usize,
    bytes: usize,
}

struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object {
        entries: Vec<Entry>,
        key: Option<(String, Place)>,
    },
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), SpecError> {
        let place = place_of(span.start);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(located(
                Problem::Syntax,
                "the text must hold one document, without a second `---`",
                place,
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = scalar_is_text(style, tag.as_deref(), place)?;
                self.count((1, text.len()), place)?;
                let value = Value::Scalar(Scalar {
                    text: text.into_owned(),
                    quoted,
                });
                self.add(Node { place, value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_foreign_tag(tag.as_deref(), place)?;
                self.start(place, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_foreign_tag(tag.as_deref(), place)?;
                self.start(
                    place,
                    anchor,
                    Content::Object {
                        entries: Vec::new(),
                        key: None,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.repeat(anchor, place),
            _ => Ok(()),
        }
    }

    fn start(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), SpecError> {
        if self.open.len() >= DEPTH_MAX {
            let rule = format!("the spec must not be nested deeper than {DEPTH_MAX} levels");
            return Err(located(Problem::TooLarge, rule, place));
        }
        self.count((1, 0), place)?;
        self.open.push(Open {
            place,
            anchor,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SpecError> {
        let open = self.open.pop().expect("the parser closes only what it opened");
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Object { entries, .. } => Value::Object(merged(entries)),
        };
        self.add(
            Node {
                place: open.place,
                value,
            },
            open.anchor,
        )
    }

    /// Puts what an alias names in its place. What was anchored deep inside keeps the place where it was written.
    fn repeat(&mut self, anchor: usize, place: Place) -> Result<(), SpecError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(located(
                Problem::Syntax,
                "an alias must not stand inside what it names",
                place,
            ));
        };
        let node = Node {
            place,
            value: node.value.clone(),
        };
        self.count(size(&node), place)?;
        self.add(node, 0)
    }

    /// Puts a complete node where it belongs and remembers it if an alias may name it.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SpecError> {
        if anchor != 0 {
            self.count(size(&node), node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Object { entries, key }) => match key.take() {
                Some((key, key_place)) => entries.push(Entry {
                    key,
                    key_place,
                    value: node,
                }),
                None => *key = Some(key_of(node)?),
            },
        }
        Ok(())
    }

    fn count(&mut self, (values, bytes): (usize, usize), place: Place) -> Result<(), SpecError> {
        self.values += values;
        self.bytes += bytes;
        if self.values > VALUES_MAX || self.bytes > EXPANDED_BYTES_MAX {
            return Err(located(
                Problem::TooLarge,
                "the spec has more values than any app needs",
                place,
            ));
        }
        Ok(())
    }
}

/// Values and bytes of a node with all that is in it.
fn size(node: &Node) -> (usize, usize) {
    let sum = |left: (usize, usize), right: (usize, usize)| (left.0 + right.0, left.1 + right.1);
    match &node.value {
        Value::Scalar(scalar) => (1, scalar.text.len()),
        Value::List(items) => items.iter().map(size).fold((1, 0), sum),
        Value::Object(entries) => entries
            .iter()
            .map(|entry| sum((1, entry.key.len()), size(&entry.value)))
            .fold((1, 0), sum),
    }
}

fn key_of(node: Node) -> Result<(String, Place), SpecError> {
    match node.value {
        Value::Scalar(scalar) => Ok((scalar.text, node.place)),
        _ => Err(located(Problem::Syntax, "a field name must be text", node.place)),
    }
}

/// Fills in what `<<: *other` names; fields that are written out win.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    if !entries.iter().any(|entry| entry.key == MERGE_KEY) {
        return entries;
    }
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.key == MERGE_KEY);
    for merge in merges {
        let sources = match merge.value.value {
            Value::List(items) => items,
            _ => vec![merge.value],
        };
        let inherited = sources.into_iter().flat_map(|source| match source.value {
            Value::Object(entries) => entries,
            Value::Scalar(_) | Value::List(_) => Vec::new(),
        });
        for entry in inherited {
            if !own.iter().any(|other| other.key == entry.key) {
                own.push(entry);
            }
        }
    }
    own
}

/// True when the scalar can only be text.
fn scalar_is_text(style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<bool, SpecError> {
    refuse_foreign_tag(tag, place)?;
    let tagged_as_text = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
    Ok(tagged_as_text || style != ScalarStyle::Plain)
}

fn refuse_foreign_tag(tag: Option<&Tag>, place: Place) -> Result<(), SpecError> {
    match tag {
        Some(tag) if tag.core_suffix().is_none() => {
            Err(located(Problem::Syntax, "YAML tags have no meaning in a spec", place).value(tag))
        }
        _ => Ok(()),
    }
}

fn located(problem: Problem, rule: impl Into<String>, place: Place) -> SpecError {
    SpecError::new("", problem, rule).at(place.line, place.column)
}
