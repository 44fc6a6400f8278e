//! A file, read key by key. Every fault is found, not only the first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Origin};
use super::keys;
use super::value::Value;
use crate::spelling::nearest;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) values: BTreeMap<&'static str, (Value, Origin)>,
    /// Where each section begins.
    pub(super) sections: BTreeMap<String, Origin>,
    pub(super) faults: Vec<Fault>,
}

impl Document {
    pub(super) fn read(path: &Path) -> Self {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => {
                let fault = Fault::whole(Origin::Default, format!("{name}: {error}"));
                Self { faults: vec![fault], ..Self::default() }
            }
        }
    }

    pub(super) fn parse(text: &str, name: &str) -> Self {
        let reader = Reader { text, name: name.into() };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self::default();
        for error in errors {
            let origin = reader.origin(error.span().unwrap_or_default());
            let message = error.message().replace('\n', ", ");
            document.faults.push(Fault::whole(origin, message));
        }
        // What was made up to go on reading would only lead to faults that are none.
        if document.faults.is_empty() {
            reader.walk(table.get_ref(), "", &mut document);
        }
        // In the order of the file.
        document.faults.sort_by_key(|fault| match fault.origin {
            Origin::File { line, column, .. } => (line, column),
            _ => (0, 0),
        });
        document
    }
}

struct Reader<'a> {
    text: &'a str,
    name: Arc<str>,
}

impl Reader<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start.min(self.text.len())).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Origin::File {
            file: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn walk(&self, table: &DeTable<'_>, section: &str, document: &mut Document) {
        for (name, value) in table.iter() {
            let (name, at): (&str, _) = (name.get_ref(), name.span());
            let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let origin = self.origin(at);
            if let Some(key) = keys::find(&path) {
                match Value::of(key.kind, value.get_ref()) {
                    Ok(value) => {
                        document.values.insert(key.path, (value, origin));
                    }
                    Err(wrong) => {
                        let origin = self.origin(wrong.at.unwrap_or_else(|| value.span()));
                        document.faults.push(Fault::new(origin, &path, wrong.message));
                    }
                }
            } else if keys::is_section(&path) {
                match value.get_ref() {
                    DeValue::Table(inner) => {
                        document.sections.insert(path.clone(), origin);
                        self.walk(inner, &path, document);
                    }
                    found => {
                        let message =
                            format!("is a section, not a value ({}): write [{path}]", found.type_str());
                        document.faults.push(Fault::new(origin, &path, message));
                    }
                }
            } else {
                let names = keys::names_in(section);
                let message =
                    format!("is not known{}; there are {}", nearest(name, &names), names.join(", "));
                document.faults.push(Fault::new(origin, &path, message));
            }
        }
    }
}
