//! A statement as a table (RFC 4180), which is opened with spreadsheets.
//!
//! A spreadsheet takes a cell for a formula that begins with `=`, `+`, `-` or `@`, and it chooses for itself which character divides
//! cells. So a text that a payer wrote is guarded wherever some spreadsheet may begin a cell, not at its start only. Amounts are
//! numbers and stay as they are.

use bank_sdk::Problem;
use bank_stores::ledger::{Entry, Period};
use bank_stores::{Currency, Money, Timestamp};
use csv::{Terminator, Writer, WriterBuilder};

const COLUMNS: [&str; 8] =
    ["booked_at", "value_at", "posting", "kind", "reference", "amount", "currency", "balance"];

/// A table that is being written.
#[derive(Debug)]
pub(crate) struct Table(Writer<Vec<u8>>);

impl Table {
    /// A table with its head and nothing else.
    pub(crate) fn new() -> Result<Self, Problem> {
        let mut table = Self(WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new()));
        table.write(COLUMNS.map(str::to_owned))?;
        Ok(table)
    }

    /// The balance before the first entry.
    pub(crate) fn opening(&mut self, period: Period, balance: Money) -> Result<(), Problem> {
        self.balance(period.from, "opening", balance)
    }

    /// The balance behind the last entry.
    pub(crate) fn closing(&mut self, period: Period, balance: Money) -> Result<(), Problem> {
        self.balance(period.until, "closing", balance)
    }

    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<(), Problem> {
        self.write([
            entry.booked_at.to_string(),
            entry.value_at.to_string(),
            guarded(entry.posting.as_str()),
            guarded(&entry.kind),
            guarded(entry.reference.as_deref().unwrap_or_default()),
            entry.amount.decimal(),
            entry.amount.currency().to_string(),
            entry.balance_after.decimal(),
        ])
    }

    /// The whole table.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Problem> {
        self.0.into_inner().map_err(|error| failed(&error))
    }

    fn balance(&mut self, at: Timestamp, kind: &str, balance: Money) -> Result<(), Problem> {
        let currency: Currency = balance.currency();
        let [value_at, posting, reference, amount] = [const { String::new() }; 4];
        let (at, kind) = (at.to_string(), kind.to_owned());
        self.write([at, value_at, posting, kind, reference, amount, currency.to_string(), balance.decimal()])
    }

    fn write(&mut self, cells: [String; 8]) -> Result<(), Problem> {
        self.0.write_record(cells).map_err(|error| failed(&error))
    }
}

/// Writing into memory does not fail.
fn failed(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "a table cannot be written");
    Problem::internal()
}

/// A text no part of which begins as a formula does, whatever divides the table's cells; what could end a line or a cell is a space.
fn guarded(text: &str) -> String {
    let mut guarded = String::with_capacity(text.len());
    // Whether a cell may begin here, if what is not seen at its start is left out.
    let mut begins = true;
    for character in text.chars() {
        match character {
            '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '﹢' | '﹣' | '﹦' | '﹫' | '−' if begins =>
            {
                guarded.push('\'');
                guarded.push(character);
                begins = false;
            }
            ',' | ';' | '|' => {
                guarded.push(character);
                begins = true;
            }
            _ if character.is_control() => {
                guarded.push(' ');
                begins = true;
            }
            _ => {
                guarded.push(character);
                begins &= character.is_whitespace() || character == '"';
            }
        }
    }
    guarded
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMULAS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

    /// The cells of a text as a spreadsheet has them that divides at `separator`.
    fn cells(text: &str, separator: u8) -> Vec<String> {
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(["2026-01-31", &guarded(text), "end"]).unwrap();
        let line = writer.into_inner().unwrap();
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(&*line);
        reader
            .records()
            .flat_map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn no_cell_begins_as_a_formula_whatever_divides_the_cells() {
        for start in FORMULAS.into_iter().chain(['\t', '\r']) {
            for before in [
                "", " ", "\"", "\"\"", "rent", "rent;", "rent,", "rent|", "rent\t", "rent;\"", "a; ",
                "a,;|\t",
            ] {
                let text = format!("{before}{start}1+1;{start}2,{start}3|{start}4\t{start}5\"");
                for separator in [b',', b';', b'\t', b'|'] {
                    for cell in cells(&text, separator) {
                        let first = cell.trim_start_matches([' ', '"']).chars().next().unwrap_or('.');
                        assert!(
                            !FORMULAS.contains(&first) && first != '\t' && first != '\r',
                            "{text:?} divided at {:?}: {cell:?}",
                            char::from(separator)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_payer_writes_stays_one_cell_and_reads_as_it_was_written() {
        for text in ["rent, \"May\"", "a-b", "1+1=2", "Müller & Co; Invoice 7", "me@bank.example", "~", ""] {
            assert_eq!(cells(text, b','), ["2026-01-31", text, "end"]);
        }
        assert_eq!(guarded("=1+1"), "'=1+1");
        assert_eq!(guarded("rent;=1+1;"), "rent;'=1+1;");
    }
}
