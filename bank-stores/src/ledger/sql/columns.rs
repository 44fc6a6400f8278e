//! The columns that `rows` reads, by their names.

/// A query for accounts: `from` yields `a`, an account; more columns may follow.
macro_rules! select_accounts {
    ($from:expr, $rest:literal) => {
        select_accounts!("", $from, $rest)
    };
    ($more:literal, $from:expr, $rest:literal) => {
        concat!(
            "SELECT a.sequence, a.id, a.owner, a.name, a.currency, a.opened_at, a.content, ",
            "a.floor AS first_floor, a.ceiling AS first_ceiling, ",
            "CAST(coalesce(r.status, 0) AS bigint) AS status, ",
            "CASE WHEN r.account IS NULL THEN a.floor ELSE r.floor END AS floor, ",
            "CASE WHEN r.account IS NULL THEN a.ceiling ELSE r.ceiling END AS ceiling, ",
            "coalesce((SELECT n.balance FROM {entries} n WHERE n.account = a.sequence
                       ORDER BY n.number DESC LIMIT 1), 0) AS balance, ",
            "coalesce((SELECT n.number FROM {entries} n WHERE n.account = a.sequence
                       ORDER BY n.number DESC LIMIT 1), 0) AS entries, ",
            "coalesce(k.held, 0) AS held",
            $more,
            " FROM ",
            $from,
            " LEFT JOIN {held} k ON k.account = a.sequence LEFT JOIN {rules} r ON r.account = a.sequence ",
            $rest
        )
    };
}

/// A query for entries: `from` yields `e`, an entry.
macro_rules! select_entries {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id AS account, a.currency, e.number, e.amount, e.balance, p.sequence, p.id AS posting, ",
            "p.kind, p.reference, p.booked_at, p.value_at FROM ",
            $from,
            " {join} {postings} p ON p.sequence = e.posting {join} {accounts} a ON a.sequence = e.account ",
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
            "SELECT h.sequence, h.id, a.id AS account, a.currency, h.amount, h.captured, ",
            "CAST(h.status AS bigint) AS status, h.placed_at, h.deadline, h.content, h.ended_by, h.ended_at",
            $more,
            " FROM ",
            $from,
            " {join} {accounts} a ON a.sequence = h.account ",
            $rest
        )
    };
}

pub(crate) use {select_accounts, select_entries, select_holds};
