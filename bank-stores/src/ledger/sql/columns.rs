//! The columns that `rows` reads, by their names.

/// A query for accounts: `from` yields `a`, an account; more columns may follow.
macro_rules! select_accounts {
    ($from:expr, $rest:literal) => {
        select_accounts!("", $from, $rest)
    };
    ($more:expr, $from:expr, $rest:literal) => {
        concat!(
            "SELECT a.sequence, a.id, a.owner, a.currency, a.terms, a.opened_at, a.content, ",
            "(SELECT c.state FROM {changes} c WHERE c.account = a.sequence ORDER BY c.sequence DESC LIMIT 1) AS state, ",
            "coalesce((SELECT n.balance FROM {entries} n WHERE n.account = a.sequence
                       ORDER BY n.number DESC LIMIT 1), 0) AS balance, ",
            "coalesce((SELECT n.number FROM {entries} n WHERE n.account = a.sequence
                       ORDER BY n.number DESC LIMIT 1), 0) AS entries, ",
            "coalesce(k.held, 0) AS held",
            $more,
            " FROM ",
            $from,
            " LEFT JOIN {held} k ON k.account = a.sequence ",
            $rest
        )
    };
}

/// One more column of `select_accounts`: what holds keep whose deadline has come by this time. The writer ends those a moment later.
macro_rules! due {
    ($now:literal) => {
        concat!(
            ", (SELECT CAST(coalesce(sum(d.amount - d.captured), 0) AS bigint) FROM {holds} d
                WHERE d.account = a.sequence AND d.status = 0 AND d.deadline <= ",
            $now,
            ") AS due"
        )
    };
}

/// A query for entries: `from` yields `e`, an entry; more columns may follow.
macro_rules! select_entries {
    ($from:literal, $rest:literal) => {
        select_entries!("", $from, $rest)
    };
    ($more:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id AS account, a.currency, e.number, e.amount, e.balance, p.sequence, p.id AS posting, ",
            "p.kind, p.reference, p.booked_at, coalesce(p.value_at, p.booked_at) AS value_at, ",
            "(SELECT b.id FROM {accounts} b WHERE b.sequence = (
                 SELECT CASE WHEN min(o.account) = max(o.account) THEN min(o.account) END
                 FROM {entries} o WHERE o.posting = e.posting AND o.account <> e.account)) AS counterparty",
            $more,
            " FROM ",
            $from,
            " {join} {postings} p ON p.sequence = e.posting {join} {accounts} a ON a.sequence = e.account ",
            $rest
        )
    };
}

/// A query for postings as they were made; more columns may follow.
macro_rules! select_postings {
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT p.id, p.sequence, p.kind, p.reference, p.metadata, p.booked_at, ",
            "coalesce(p.value_at, p.booked_at) AS value_at, h.id AS hold, u.id AS reverses",
            $more,
            " FROM {postings} p LEFT JOIN {holds} h ON h.sequence = p.hold ",
            "LEFT JOIN {postings} u ON u.sequence = p.reverses ",
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

pub(crate) use {due, select_accounts, select_entries, select_holds, select_postings};
