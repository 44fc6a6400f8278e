//! What each command did, read back from its rows in a form that is the same in every engine.

use std::collections::HashMap;

use crate::Result;
use crate::canonical::Canonical;
use crate::ledger::HoldStatus;
use crate::ledger::sql::Store;
use crate::ledger::sql::rows::Record;

/// What one command did, as its rows say.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// Its place in the commit order.
    pub(super) sequence: u64,
    /// Its rows.
    pub(super) digest: [u8; 32],
    /// The currency of an account that was opened.
    pub(super) opened: Option<String>,
    /// The account that was changed.
    pub(super) changed: Option<u64>,
    /// The entries that it made: account, number, amount and balance after it.
    pub(super) entries: Vec<(u64, u64, i64, i64)>,
    /// Whether these are of a posting that is not there.
    pub(super) lacks_posting: bool,
    /// What a hold that was placed keeps.
    pub(super) placed: Option<i64>,
    /// What it did to a hold.
    pub(super) step: Option<Step>,
}

/// What a command did to a hold that was placed before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The sequence of its placing.
    pub(super) hold: u64,
    /// What was captured of it in all by then.
    pub(super) captured: i64,
    /// Whether it ended it.
    pub(super) ends: bool,
    /// Whether the hold's row says so too.
    pub(super) is_in_row: bool,
}

impl Fact {
    pub(super) fn new(sequence: u64, digest: [u8; 32]) -> Self {
        Self {
            sequence,
            digest,
            opened: None,
            changed: None,
            entries: Vec::new(),
            lacks_posting: false,
            placed: None,
            step: None,
        }
    }

    /// From a row of its sequence, numbers, texts, and the fingerprint of its content if it has one.
    fn read(row: &impl Record, form: &str, numbers: &[&str], texts: &[&str], content: bool) -> Result<Self> {
        let sequence = row.sequence("sequence")?;
        let mut digest = Canonical::new(form).number(sequence as i64);
        for column in numbers {
            digest = digest.optional(row.optional_number(column)?, Canonical::number);
        }
        for column in texts {
            digest = digest.optional(row.optional_text(column)?, Canonical::text);
        }
        if content {
            digest = digest.bytes(row.optional_bytes("content")?.unwrap_or_default());
        }
        Ok(Self::new(sequence, digest.finish()))
    }

    /// Adds an entry: its leg, of which account it is (by the sequence of its opening), its number, amount and balance.
    pub(super) fn entry(&mut self, leg: i64, account: u64, number: u64, amount: i64, balance: i64) {
        let form = Canonical::new("entry.1").bytes(&self.digest).number(leg).number(account as i64);
        self.digest = form.number(number as i64).number(amount).number(balance).finish();
        self.entries.push((account, number, amount, balance));
    }
}

/// What the commands behind `from` and up to `to` did, in order. Two stand for one command that has rows where it should not.
pub(super) async fn facts(store: &impl Store, from: u64, to: u64) -> Result<Vec<Fact>> {
    let between = [from as i64, to as i64];
    let mut facts = Vec::new();
    let accounts = "SELECT sequence, opened_at, id, owner, currency, terms, content FROM {accounts}
                    WHERE sequence > $1 AND sequence <= $2";
    for row in store.rows(accounts, &between).await? {
        let opened = row.optional_text("currency")?.map(ToOwned::to_owned);
        let texts = ["id", "owner", "currency", "terms"];
        facts.push(Fact { opened, ..Fact::read(&row, "account", &["opened_at"], &texts, true)? });
    }
    let changes = "SELECT sequence, account, posting, booked_at, id, kind, state, content FROM {changes}
                   WHERE sequence > $1 AND sequence <= $2";
    for row in store.rows(changes, &between).await? {
        let changed = row.optional_number("account")?.map(|account| account as u64);
        let fact =
            Fact::read(&row, "change", &["account", "posting", "booked_at"], &["id", "kind", "state"], true)?;
        facts.push(Fact { changed, ..fact });
    }
    let holds =
        "SELECT sequence, account, amount, placed_at, deadline, id, reference, metadata, content FROM {holds}
                 WHERE sequence > $1 AND sequence <= $2";
    for row in store.rows(holds, &between).await? {
        let (numbers, texts) =
            (["account", "amount", "placed_at", "deadline"], ["id", "reference", "metadata"]);
        let placed = Some(row.number("amount")?);
        facts.push(Fact { placed, ..Fact::read(&row, "hold", &numbers, &texts, true)? });
    }
    // The capture that ends a hold is a posting, and says so itself.
    let ends =
        "SELECT ended_by AS sequence, sequence AS hold, CAST(status AS bigint) AS status, captured, ended_at
                FROM {holds} WHERE ended_by > $1 AND ended_by <= $2";
    for row in store.rows(ends, &between).await? {
        if HoldStatus::from_number(row.number("status")?) != HoldStatus::Captured {
            let (hold, captured) = (row.sequence("hold")?, row.number("captured")?);
            let step = Some(Step { hold, captured, ends: true, is_in_row: true });
            let numbers = ["hold", "status", "captured", "ended_at"];
            facts.push(Fact { step, ..Fact::read(&row, "hold.end", &numbers, &[], false)? });
        }
    }
    let postings = "SELECT p.sequence, p.booked_at, p.value_at, p.reverses, p.hold, p.captured,
                           CAST(p.hold_status AS bigint) AS hold_status, p.id, p.kind, p.reference, p.metadata,
                           p.content, h.captured AS held_captured, CAST(h.status AS bigint) AS held_status,
                           h.ended_at AS held_ended_at
                    FROM {postings} p LEFT JOIN {holds} h ON h.sequence = p.hold AND h.ended_by = p.sequence
                    WHERE p.sequence > $1 AND p.sequence <= $2";
    let mut posted: HashMap<u64, Fact> = HashMap::new();
    for row in store.rows(postings, &between).await? {
        let numbers = ["booked_at", "value_at", "reverses", "hold", "captured", "hold_status"];
        let texts = ["id", "kind", "reference", "metadata"];
        let fact = Fact { step: step(&row)?, ..Fact::read(&row, "posting", &numbers, &texts, true)? };
        posted.insert(fact.sequence, fact);
    }
    let entries =
        "SELECT posting, CAST(leg AS bigint) AS leg, account, number, amount, balance FROM {entries}
                   WHERE posting > $1 AND posting <= $2 ORDER BY posting, leg";
    for row in store.rows(entries, &between).await? {
        let posting = row.sequence("posting")?;
        let orphan = || Fact { lacks_posting: true, ..Fact::new(posting, [0; 32]) };
        let fact = posted.entry(posting).or_insert_with(orphan);
        let (account, number) = (row.sequence("account")?, row.sequence("number")?);
        fact.entry(row.number("leg")?, account, number, row.number("amount")?, row.number("balance")?);
    }
    facts.extend(posted.into_values());
    facts.sort_by_key(|fact| fact.sequence);
    Ok(facts)
}

/// What a posting did to the hold that it pays out of.
fn step(row: &impl Record) -> Result<Option<Step>> {
    let Some(hold) = row.optional_number("hold")? else { return Ok(None) };
    let (captured, status) = (row.number("captured")?, row.number("hold_status")?);
    let ends = HoldStatus::from_number(status) != HoldStatus::Open;
    let said = ["held_captured", "held_status", "held_ended_at"];
    let said = said.iter().map(|column| row.optional_number(column)).collect::<Result<Vec<Option<i64>>>>()?;
    let is_in_row = !ends || said == [Some(captured), Some(status), row.optional_number("booked_at")?];
    Ok(Some(Step { hold: hold as u64, captured, ends, is_in_row }))
}
