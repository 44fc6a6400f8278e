//! The columns that `ledger::rows` reads, as queries of this engine.

/// A query for accounts: `from` yields `a`, an account; more columns may follow.
macro_rules! select_accounts {
    ($from:literal, $rest:literal) => {
        select_accounts!("", $from, $rest)
    };
    ($more:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.owner, a.name, a.currency, coalesce(r.status, 0)::bigint, ",
            "CASE WHEN r.account IS NULL THEN a.floor ELSE r.floor END, ",
            "CASE WHEN r.account IS NULL THEN a.ceiling ELSE r.ceiling END, ",
            "b.balance, b.held, b.entries, a.opened_at, a.sequence, a.content, a.floor, a.ceiling",
            $more,
            " FROM ",
            $from,
            " JOIN balances b ON b.account = a.sequence LEFT JOIN rules r ON r.account = a.sequence ",
            $rest
        )
    };
}

/// A query for entries: `from` yields `e`, an entry.
macro_rules! select_entries {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, e.number, p.id, p.kind, p.reference, e.amount, e.balance, a.currency, p.booked_at, ",
            "p.value_at, p.sequence FROM ",
            $from,
            " JOIN postings p ON p.sequence = e.posting JOIN accounts a ON a.sequence = e.account ",
            $rest
        )
    };
}

/// A query for holds: `from` yields `h`, a hold; more columns may follow.
macro_rules! select_holds {
    ($from:literal, $rest:literal) => {
        select_holds!("", $from, $rest)
    };
    ($more:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT h.id, a.id, a.currency, h.amount, h.captured, h.status::bigint, h.placed_at, h.deadline, h.sequence, ",
            "h.content, h.ended_by, h.ended_at",
            $more,
            " FROM ",
            $from,
            " JOIN accounts a ON a.sequence = h.account ",
            $rest
        )
    };
}

pub(super) use {select_accounts, select_entries, select_holds};
