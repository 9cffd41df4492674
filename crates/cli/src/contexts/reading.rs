//! From the file's text to [`Contexts`]; whatever is wrong is told with its line and field.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Context, Contexts, check_name,
    node::{Node, Value},
};

/// What is wrong with the file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// From 1; `None` where the reader of YAML could not tell.
    pub line: Option<u64>,
    /// "contexts.prod.url: is missing".
    pub problem: String,
}

pub(super) fn read(text: &str) -> Result<Contexts, Mistake> {
    if text.trim().is_empty() {
        return Ok(Contexts::default());
    }
    let document: Node = serde_saphyr::from_str(text).map_err(|error| Mistake {
        line: error.location().map(|location| location.line()),
        problem: error.without_snippet().to_string(),
    })?;
    let mut file = Fields::of("", document)?;
    let current = file.text("context")?;
    let contexts = file.fields("contexts")?.unwrap_or_default();
    file.end()?;
    let contexts = contexts.into_iter().map(|(name, node)| {
        let field = format!("contexts.{name}");
        check_name(&name).map_err(|rule| mistake(node.line, &field, &format!("a context's name {rule}")))?;
        Ok((name, context(&field, node)?))
    });
    let contexts: BTreeMap<String, Context> = contexts.collect::<Result<_, Mistake>>()?;
    if let Some((name, line)) = &current
        && !contexts.contains_key(name)
    {
        return Err(mistake(
            *line,
            "context",
            &format!("there is no context `{name}` below"),
        ));
    }
    Ok(Contexts {
        current: current.map(|(name, _)| name),
        contexts,
    })
}

fn context(path: &str, node: Node) -> Result<Context, Mistake> {
    let mut fields = Fields::of(path, node)?;
    let context = Context {
        url: fields.required("url")?,
        token: fields.required("token")?,
        ca_file: fields.text("ca_file")?.map(|(file, _)| PathBuf::from(file)),
        account: fields.text("account")?.map(|(account, _)| account),
    };
    fields.end()?;
    Ok(context)
}

/// The fields of a mapping; each is taken out as it is read.
struct Fields {
    path: String,
    line: u64,
    entries: BTreeMap<String, Node>,
}

impl Fields {
    fn of(path: &str, node: Node) -> Result<Self, Mistake> {
        let Value::Fields(fields) = node.value else {
            let problem = format!("must be a mapping, and is {}", node.value.noun());
            return Err(mistake(node.line, path, &problem));
        };
        Ok(Self {
            path: path.to_owned(),
            line: node.line,
            entries: fields,
        })
    }

    fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// With its line.
    fn text(&mut self, name: &str) -> Result<Option<(String, u64)>, Mistake> {
        match self.entries.remove(name) {
            None
            | Some(Node {
                value: Value::Nothing,
                ..
            }) => Ok(None),
            Some(Node {
                value: Value::Text(text),
                line,
            }) => Ok(Some((text, line))),
            Some(node) => {
                let problem = format!("must be text, and is {}", node.value.noun());
                Err(mistake(node.line, &self.path_of(name), &problem))
            }
        }
    }

    fn required(&mut self, name: &str) -> Result<String, Mistake> {
        let found = self.text(name)?.filter(|(text, _)| !text.is_empty());
        let found = found.ok_or_else(|| mistake(self.line, &self.path_of(name), "is missing"))?;
        Ok(found.0)
    }

    fn fields(&mut self, name: &str) -> Result<Option<BTreeMap<String, Node>>, Mistake> {
        match self.entries.remove(name) {
            None
            | Some(Node {
                value: Value::Nothing,
                ..
            }) => Ok(None),
            Some(node) => Ok(Some(Self::of(&self.path_of(name), node)?.entries)),
        }
    }

    /// A field that is left is one that nobody knows: most likely misspelt.
    fn end(self) -> Result<(), Mistake> {
        match self.entries.iter().next() {
            None => Ok(()),
            Some((name, node)) => Err(mistake(
                node.line,
                &self.path_of(name),
                "is no field of this file",
            )),
        }
    }
}

fn mistake(line: u64, field: &str, problem: &str) -> Mistake {
    let problem = match field {
        "" => format!("the file {problem}"),
        field => format!("{field}: {problem}"),
    };
    Mistake {
        line: Some(line),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "context: prod\ncontexts:\n  home:\n    url: http://h:1\n    token: mst_1\n  prod:\n    url: https://p\n    token: mst_2\n    ca_file: /etc/ca.crt\n";

    #[test]
    fn what_is_written_is_read_again() {
        let contexts = read(GOOD).unwrap();
        assert_eq!(contexts.find(None).unwrap().unwrap().token, "mst_2");
        assert_eq!(serde_saphyr::to_string(&contexts).unwrap(), GOOD);
        assert_eq!(read("").unwrap(), Contexts::default());
        assert_eq!(read("contexts: {}").unwrap(), Contexts::default());
    }

    #[test]
    fn every_mistake_is_told_with_line_and_field() {
        for (from, to, line, told) in [
            ("    url: https://p\n", "", 7, "contexts.prod.url: is missing"),
            (
                "token: mst_1",
                "token: 1",
                5,
                "contexts.home.token: must be text, and is a number",
            ),
            (
                "token: mst_1",
                "token: [a]",
                5,
                "contexts.home.token: must be text, and is a list",
            ),
            (
                "ca_file",
                "ca-file",
                9,
                "contexts.prod.ca-file: is no field of this file",
            ),
            (
                "context: prod",
                "context: test",
                1,
                "context: there is no context `test` below",
            ),
            (
                "context: prod",
                "current: prod",
                1,
                "current: is no field of this file",
            ),
            (
                "  home:\n    url: http://h:1\n    token: mst_1\n",
                "  home: x\n",
                3,
                "contexts.home: must be a mapping, and is text",
            ),
            (
                "  home:",
                "  a home:",
                4,
                "contexts.a home: a context's name has letters, digits, `.`, `_` and `-` only, and does not begin with `-`",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from} is replaced");
            let expected = Mistake {
                line: Some(line),
                problem: told.into(),
            };
            assert_eq!(read(&text).unwrap_err(), expected, "{text}");
        }
        assert_eq!(
            read("- a\n").unwrap_err().problem,
            "the file must be a mapping, and is a list"
        );
        let twice = read("contexts: {}\ncontexts: {}\n").unwrap_err();
        assert_eq!(twice.line, Some(2), "{twice:?}");
        let broken = read("context: 'prod\n").unwrap_err();
        assert!(broken.line.is_some(), "{broken:?}");
    }
}
