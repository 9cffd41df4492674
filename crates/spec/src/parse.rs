//! Text → spec, with everything that is wrong with it.

use crate::{
    decode::{Decode, Places, Reader},
    error::{Problem, SpecError, SpecErrors},
    kind::ComponentKind,
    model::AppSpec,
    support,
    tree::{self, Format, Node, Value},
    validate,
};

/// Whether components must say where their code comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sources {
    /// Exactly one source for each component.
    #[default]
    Required,
    /// At most one: the code of components without one is uploaded beside the spec.
    Optional,
}

/// A valid spec, what should be known about it, and where its fields stand in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedSpec {
    pub spec: AppSpec,
    /// Accepted, but perhaps not what was meant; without effect on validity.
    pub warnings: Vec<SpecError>,
    places: Places,
}

/// Reads and checks a spec. A document that holds it below a single `spec` key is read as well.
///
/// # Errors
/// Every error at once, in the order of the text; only a text that cannot be read at all has a single one.
pub fn parse(text: &str, format: Format) -> Result<ParsedSpec, SpecErrors> {
    parse_with(text, format, Sources::Required)
}

/// As [`parse`], with a choice about sources.
pub fn parse_with(text: &str, format: Format, sources: Sources) -> Result<ParsedSpec, SpecErrors> {
    let mut root = tree::read(text, format)?;
    let mut reader = Reader::default();
    if !matches!(root.value, Value::Object(_)) {
        let rule = "the spec must be an object with the fields of an app";
        let error = SpecError::new("", Problem::WrongType, rule).value(root.description());
        return Err(error.at(root.place.line, root.place.column).into());
    }
    if let Some(wrapped) = unwrapped(&mut root) {
        root = wrapped;
    }
    wrap_lone_components(&mut root, &mut reader);
    let spec = AppSpec::decode(&root, &mut reader);
    let Reader {
        mut errors,
        mut warnings,
        places,
        ..
    } = reader;
    let broken_rules = validate::check_with(&spec, sources);
    errors.extend(
        not_consequences(broken_rules, &errors)
            .into_iter()
            .map(|error| located(error, &places)),
    );
    if let Some(errors) = SpecErrors::of(errors) {
        return Err(errors);
    }
    warnings.extend(
        support::warnings(&spec)
            .into_iter()
            .map(|warning| located(warning, &places)),
    );
    Ok(ParsedSpec {
        spec,
        warnings,
        places,
    })
}

impl ParsedSpec {
    /// Adds line and column to errors that only have a path.
    #[must_use]
    pub fn located(&self, errors: Vec<SpecError>) -> Vec<SpecError> {
        errors
            .into_iter()
            .map(|error| located(error, &self.places))
            .collect()
    }
}

/// The content of a `spec` key that stands alone or beside nothing that a spec knows.
fn unwrapped(root: &mut Node) -> Option<Node> {
    let Value::Object(entries) = &mut root.value else {
        return None;
    };
    let wrapped =
        entries.len() == 1 && entries[0].key == "spec" && matches!(entries[0].value.value, Value::Object(_));
    wrapped.then(|| entries.remove(0).value)
}

/// `services:` with one component in place of a list of one is met in published specs; it is read as what was meant.
fn wrap_lone_components(root: &mut Node, reader: &mut Reader) {
    const LISTS: [ComponentKind; 6] = [
        ComponentKind::Service,
        ComponentKind::Worker,
        ComponentKind::Job,
        ComponentKind::StaticSite,
        ComponentKind::Functions,
        ComponentKind::Database,
    ];
    let Value::Object(entries) = &mut root.value else {
        return;
    };
    for entry in entries {
        let is_component_list = LISTS.iter().any(|kind| kind.list() == entry.key);
        if is_component_list && matches!(entry.value.value, Value::Object(_)) {
            let place = entry.key_place;
            let warning = SpecError::new(
                &entry.key,
                Problem::WrongType,
                "should be a list; read as a list of one",
            )
            .suggestion("start the component with `- `");
            reader.warnings.push(warning.at(place.line, place.column));
            let lone = entry.value.clone();
            entry.value = Node {
                place: lone.place,
                value: Value::List(vec![lone]),
            };
        }
    }
}

/// Leaves out what is broken only because a field could not be read.
fn not_consequences(broken_rules: Vec<SpecError>, unreadable: &[SpecError]) -> Vec<SpecError> {
    let caused = |error: &SpecError| {
        unreadable
            .iter()
            .filter(|other| other.problem != Problem::UnknownField)
            .any(|other| {
                let below = error.path.strip_prefix(other.path.as_str());
                below.is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']))
            })
    };
    broken_rules.into_iter().filter(|error| !caused(error)).collect()
}

/// The field's own place, or that of the nearest object around it.
fn located(error: SpecError, places: &Places) -> SpecError {
    let mut path = error.path.as_str();
    loop {
        if let Some(place) = places.get(path) {
            let (line, column) = (place.line, place.column);
            return error.at(line, column);
        }
        match path.rfind(['.', '[']) {
            Some(end) => path = &path[..end],
            None => return error,
        }
    }
}
