//! The texts of a ledger: where each belongs, sealed in commands, opened in what is read.
//!
//! | Text | Context, behind the ledger's name |
//! | --- | --- |
//! | an account's name | `account`, its id, `name` |
//! | a posting's reference | `posting`, its id, `reference` |
//! | a posting's metadata | `posting`, its id, `metadata`, key |
//! | the same of a hold | `hold`, its id, … |
//! | a note | `note`, the id of the command that added it |

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::data_keys::DataKeys;
use super::sealer::{Sealer, context};
use super::values::{ERASED, Opened, lasting};
use crate::ledger::{Account, Command, Entry, OwnerId, PostingRecord, Receipt};
use crate::{Page, Result};

/// Seals and opens the texts of one ledger.
#[derive(Clone)]
pub(super) struct Texts {
    keys: DataKeys,
    name: Arc<str>,
}

/// What a text of one command is sealed with.
struct Sealing<'a> {
    sealer: Arc<Sealer>,
    name: &'a str,
    /// The command's id.
    write: String,
}

impl Sealing<'_> {
    fn text(&self, parts: &[&str], text: &mut String) -> Result<()> {
        let context = context(&[&["ledger", self.name][..], parts].concat());
        *text = self.sealer.seal_write(&context, &self.write, text.as_bytes())?;
        Ok(())
    }

    fn details(
        &self,
        of: &str,
        id: &str,
        reference: &mut Option<String>,
        metadata: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        if let Some(reference) = reference {
            self.text(&[of, id, "reference"], reference)?;
        }
        metadata.iter_mut().try_for_each(|(key, value)| self.text(&[of, id, "metadata", key], value))
    }
}

impl Texts {
    pub(super) fn new(keys: DataKeys, name: String) -> Self {
        Self { keys, name: name.into() }
    }

    /// The command with its texts sealed: names with the key of this owner, others with the common one.
    pub(super) async fn seal(&self, mut command: Command, owner: Option<&OwnerId>) -> Result<Command> {
        let sealer = match text_of(&command) {
            Whose::Nobody => return Ok(command),
            Whose::Owner => self.keys.of(owner.map(OwnerId::as_str)).await?,
            Whose::Common => self.keys.of(None).await?,
        };
        let sealing = Sealing { sealer, name: &self.name, write: command.id().to_string() };
        let mut plain = &mut command;
        while let Command::Linked(linked) = plain {
            plain = &mut **linked;
        }
        match plain {
            Command::Open(open) => {
                if let Some(name) = &mut open.name {
                    sealing.text(&["account", open.id.as_str(), "name"], name)?;
                }
            }
            Command::Change(change) => {
                if let Some(name) = &mut change.name {
                    sealing.text(&["account", change.account.as_str(), "name"], name)?;
                }
            }
            Command::Annotate(annotation) => {
                sealing.text(&["note", annotation.id.as_str()], &mut annotation.note)?;
            }
            Command::Post(posting) => {
                let (reference, metadata) = (&mut posting.reference, &mut posting.metadata);
                sealing.details("posting", posting.id.as_str(), reference, metadata)?;
            }
            Command::Reverse(reversal) => {
                let (reference, metadata) = (&mut reversal.reference, &mut reversal.metadata);
                sealing.details("posting", reversal.id.as_str(), reference, metadata)?;
            }
            Command::Hold(hold) => {
                let (reference, metadata) = (&mut hold.reference, &mut hold.metadata);
                sealing.details("hold", hold.id.as_str(), reference, metadata)?;
            }
            Command::Capture(capture) => {
                let (reference, metadata) = (&mut capture.reference, &mut capture.metadata);
                sealing.details("posting", capture.id.as_str(), reference, metadata)?;
            }
            Command::Void(_) | Command::Linked(_) => {}
        }
        Ok(command)
    }

    pub(super) async fn account(&self, mut account: Account) -> Result<Account> {
        if let Some(name) = account.name.take() {
            account.name = Some(self.open(&["account", account.id.as_str(), "name"], name).await?);
        }
        Ok(account)
    }

    async fn entry(&self, mut entry: Entry) -> Result<Entry> {
        if let Some(reference) = entry.reference.take() {
            let parts = ["posting", entry.posting.as_str(), "reference"];
            entry.reference = Some(self.open(&parts, reference).await?);
        }
        Ok(entry)
    }

    async fn all(&self, entries: Vec<Entry>) -> Result<Vec<Entry>> {
        let mut opened = Vec::with_capacity(entries.len());
        for entry in entries {
            opened.push(self.entry(entry).await?);
        }
        Ok(opened)
    }

    pub(super) async fn entries(&self, page: Page<Entry>) -> Result<Page<Entry>> {
        Ok(Page { items: self.all(page.items).await?, next: page.next })
    }

    pub(super) async fn receipt(&self, mut receipt: Receipt) -> Result<Receipt> {
        if let Some(account) = receipt.account.take() {
            receipt.account = Some(self.account(account).await?);
        }
        receipt.entries = self.all(std::mem::take(&mut receipt.entries)).await?;
        Ok(receipt)
    }

    pub(super) async fn record(&self, mut record: PostingRecord) -> Result<PostingRecord> {
        if let Some(reference) = record.reference.take() {
            let parts = ["posting", record.id.as_str(), "reference"];
            record.reference = Some(self.open(&parts, reference).await?);
        }
        for (key, value) in &mut record.metadata {
            let parts = ["posting", record.id.as_str(), "metadata", key.as_str()];
            *value = self.open(&parts, std::mem::take(value)).await?;
        }
        for note in &mut record.notes {
            note.text = self.open(&["note", note.id.as_str()], std::mem::take(&mut note.text)).await?;
        }
        record.entries = self.all(std::mem::take(&mut record.entries)).await?;
        Ok(record)
    }

    /// Opens what an event tells, by the names of its fields; see `ledger::event` for its forms.
    pub(super) async fn payload(&self, payload: &mut Value) -> Result<()> {
        let Value::Object(fields) = payload else { return Ok(()) };
        if let Some(account) = text(fields, "account") {
            self.field(fields, "name", &["account", &account, "name"]).await?;
        }
        if let Some(change) = text(fields, "change") {
            self.field(fields, "note", &["note", &change]).await?;
        }
        let Some(posting) = text(fields, "posting") else { return Ok(()) };
        self.field(fields, "reference", &["posting", &posting, "reference"]).await?;
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            let keys: Vec<String> = metadata.keys().cloned().collect();
            for key in keys {
                self.field(metadata, &key, &["posting", &posting, "metadata", &key]).await?;
            }
        }
        if let Some(Value::Array(legs)) = fields.get_mut("legs") {
            for leg in legs {
                let Value::Object(leg) = leg else { continue };
                if let Some(account) = text(leg, "account") {
                    self.field(leg, "name", &["account", &account, "name"]).await?;
                }
            }
        }
        Ok(())
    }

    async fn field(&self, fields: &mut Map<String, Value>, name: &str, parts: &[&str]) -> Result<()> {
        if let Some(Value::String(text)) = fields.get_mut(name) {
            *text = self.open(parts, std::mem::take(text)).await?;
        }
        Ok(())
    }

    async fn open(&self, parts: &[&str], stored: String) -> Result<String> {
        let parts = [&["ledger", &*self.name][..], parts].concat();
        let opened = self.keys.open_text(&parts, stored).await;
        Ok(match lasting(opened.and_then(|opened| self.keys.allowed(opened)))? {
            Opened::Sealed(text) | Opened::Plain(text) => text,
            Opened::Erased => ERASED.to_owned(),
        })
    }
}

/// Whose key a command's texts are sealed with.
enum Whose {
    /// It has none.
    Nobody,
    Owner,
    Common,
}

fn text_of(command: &Command) -> Whose {
    let details = |reference: &Option<String>, metadata: &BTreeMap<String, String>| {
        if reference.is_none() && metadata.is_empty() { Whose::Nobody } else { Whose::Common }
    };
    match command.plain() {
        Command::Open(open) if open.name.is_some() => Whose::Owner,
        Command::Change(change) if change.name.is_some() => Whose::Owner,
        Command::Annotate(_) => Whose::Common,
        Command::Post(posting) => details(&posting.reference, &posting.metadata),
        Command::Reverse(reversal) => details(&reversal.reference, &reversal.metadata),
        Command::Hold(hold) => details(&hold.reference, &hold.metadata),
        Command::Capture(capture) => details(&capture.reference, &capture.metadata),
        Command::Open(_) | Command::Change(_) | Command::Void(_) | Command::Linked(_) => Whose::Nobody,
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}
