//! Everything that the ledger has done, read back in commit order, for the hash chain.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::aurora::database::Database;
use crate::aurora::error::from_sqlx;
use crate::ledger::chain::{ChainStore, Fact, Part, stored_hash};
use crate::ledger::{ChainHead, HoldStatus};
use crate::{Error, ErrorKind, Result};

impl ChainStore for Database {
    async fn head(&self) -> Result<ChainHead> {
        let row = sqlx::query(
            "SELECT c.sequence, c.hash, s.sequence
             FROM state s LEFT JOIN (SELECT * FROM chain ORDER BY sequence DESC LIMIT 1) c ON true",
        )
        .fetch_one(self.current())
        .await
        .map_err(from_sqlx)?;
        let sequence = row.get::<Option<i64>, _>(0).unwrap_or_default() as u64;
        let hash = row.get::<Option<&[u8]>, _>(1).map(stored_hash).transpose()?;
        Ok(ChainHead::new(sequence, hash, (row.get::<i64, _>(2) as u64).saturating_sub(sequence)))
    }

    async fn block_behind(&self, after: u64) -> Result<Option<(u64, [u8; 32])>> {
        let sql = "SELECT sequence, hash FROM chain WHERE sequence > $1 ORDER BY sequence LIMIT 1";
        let row =
            sqlx::query(sql).bind(after as i64).fetch_optional(self.current()).await.map_err(from_sqlx)?;
        row.map(|row| Ok((row.get::<i64, _>(0) as u64, stored_hash(row.get(1))?))).transpose()
    }

    async fn hash_at(&self, sequence: u64) -> Result<[u8; 32]> {
        let query = sqlx::query("SELECT hash FROM chain WHERE sequence = $1").bind(sequence as i64);
        stored_hash(query.fetch_one(self.current()).await.map_err(from_sqlx)?.get(0))
    }

    async fn facts(&self, from: u64, to: u64) -> Result<Vec<Fact>> {
        facts(self, from, to).await
    }

    async fn balances(&self, after: u64, last: u64) -> Result<Vec<(u64, i64, u64)>> {
        let rows = sqlx::query(
            "SELECT b.account, b.balance, b.entries FROM balances b
             WHERE b.account > $1 AND b.account <= $2 AND NOT EXISTS (
                 SELECT 1 FROM entries e WHERE e.account = b.account AND e.number = b.entries AND e.posting > $2)
             ORDER BY b.account LIMIT 10000",
        )
        .bind(after as i64)
        .bind(last as i64)
        .fetch_all(self.current())
        .await
        .map_err(from_sqlx)?;
        Ok(rows
            .iter()
            .map(|row| (row.get::<i64, _>(0) as u64, row.get(1), row.get::<i64, _>(2) as u64))
            .collect())
    }

    async fn wrongly_held(&self) -> Result<Option<u64>> {
        let wrong: Option<i64> = sqlx::query_scalar(
            "SELECT b.account FROM balances b WHERE b.held <> coalesce(
                 (SELECT sum(h.amount - h.captured)::bigint FROM holds h WHERE h.account = b.account AND h.status = 0), 0)
             LIMIT 1",
        )
        .fetch_optional(self.current())
        .await
        .map_err(from_sqlx)?;
        Ok(wrong.map(|account| account as u64))
    }

    async fn due_holds(&self, most: u64) -> Result<u64> {
        let due: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM holds WHERE status = 0 AND deadline <= $1 LIMIT $2) due",
        )
        .bind(self.options().clock.now().micros())
        .bind(most as i64)
        .fetch_one(self.current())
        .await
        .map_err(from_sqlx)?;
        Ok(due as u64)
    }
}

async fn facts(database: &Database, from: u64, to: u64) -> Result<Vec<Fact>> {
    let rows = async |sql: &'static str| -> Result<Vec<PgRow>> {
        let query = sqlx::query(sql).bind(from as i64).bind(to as i64);
        query.fetch_all(database.current()).await.map_err(from_sqlx)
    };
    let mut facts: BTreeMap<u64, Fact> = BTreeMap::new();
    let mut add = |fact: Fact| match facts.insert(fact.sequence, fact) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("command {} stands in two tables", twice.sequence);
            Err(Error::new(ErrorKind::Unavailable, message))
        }
    };
    let text = |row: &PgRow, at: usize| row.get::<Option<String>, _>(at);
    let number = |row: &PgRow, at: usize| Part::Number(row.get::<Option<i64>, _>(at));
    // What is small in the tables is cast, so that a fact reads the same in every engine.
    let accounts =
        "SELECT sequence, opened_at, floor, ceiling, id, owner, name, currency, content FROM accounts
                    WHERE sequence > $1 AND sequence <= $2";
    for row in rows(accounts).await? {
        let texts: Vec<_> = (4..8).map(|at| text(&row, at)).collect();
        let mut parts: Vec<_> = (1..4).map(|at| number(&row, at)).collect();
        parts.extend(texts.iter().map(|text| Part::Text(text.as_deref())));
        parts.push(Part::Bytes(row.get(8)));
        let mut fact = Fact::new(row.get::<i64, _>(0) as u64, "account", &parts);
        fact.opened.clone_from(&texts[3]);
        add(fact)?;
    }
    let changes = "SELECT sequence, account, booked_at, id, state, content FROM changes
                   WHERE sequence > $1 AND sequence <= $2";
    for row in rows(changes).await? {
        let (id, state) = (text(&row, 3), text(&row, 4));
        let parts = [
            number(&row, 1),
            number(&row, 2),
            Part::Text(id.as_deref()),
            Part::Text(state.as_deref()),
            Part::Bytes(row.get(5)),
        ];
        add(Fact::new(row.get::<i64, _>(0) as u64, "change", &parts))?;
    }
    let holds =
        "SELECT sequence, account, amount, placed_at, deadline, id, reference, metadata, content FROM holds
                 WHERE sequence > $1 AND sequence <= $2";
    for row in rows(holds).await? {
        let texts: Vec<_> = (5..8).map(|at| text(&row, at)).collect();
        let mut parts: Vec<_> = (1..5).map(|at| number(&row, at)).collect();
        parts.extend(texts.iter().map(|text| Part::Text(text.as_deref())));
        parts.push(Part::Bytes(row.get(8)));
        add(Fact::new(row.get::<i64, _>(0) as u64, "hold", &parts))?;
    }
    // The capture that ends a hold is a posting, and says so itself.
    let ends = "SELECT ended_by, sequence, status::bigint, captured, ended_at FROM holds
                WHERE ended_by > $1 AND ended_by <= $2";
    for row in rows(ends).await? {
        if HoldStatus::from_number(row.get(2)) != HoldStatus::Captured {
            let parts: Vec<_> = (1..5).map(|at| number(&row, at)).collect();
            add(Fact::new(row.get::<i64, _>(0) as u64, "hold.end", &parts))?;
        }
    }
    let postings =
        "SELECT sequence, booked_at, value_at, reverses, hold, captured, hold_status::bigint, id, kind, reference,
                           metadata, content FROM postings WHERE sequence > $1 AND sequence <= $2";
    for row in rows(postings).await? {
        let texts: Vec<_> = (7..11).map(|at| text(&row, at)).collect();
        let mut parts: Vec<_> = (1..7).map(|at| number(&row, at)).collect();
        parts.extend(texts.iter().map(|text| Part::Text(text.as_deref())));
        parts.push(Part::Bytes(row.get(11)));
        add(Fact::new(row.get::<i64, _>(0) as u64, "posting", &parts))?;
    }
    let entries =
        "SELECT posting, account, number, amount, balance FROM entries WHERE posting > $1 AND posting <= $2
                   ORDER BY posting, leg";
    for row in rows(entries).await? {
        let (number, account) = (row.get::<i64, _>(2) as u64, row.get::<i64, _>(1) as u64);
        let posting = row.get::<i64, _>(0) as u64;
        // An entry without a posting was written by a foreign hand: as a fact of its own it is found.
        let fact = facts.entry(posting).or_insert_with(|| Fact::new(posting, "entry", &[]));
        fact.entry(account, number, row.get(3), row.get(4));
    }
    Ok(facts.into_values().collect())
}
