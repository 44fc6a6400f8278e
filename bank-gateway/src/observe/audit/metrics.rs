//! How an audit stands, as lines for `/metrics`.

use std::fmt::Write as _;

use super::{Audit, AuditStatus};

/// Nothing, where the audit does not know.
pub(crate) fn render(audit: &dyn Audit) -> String {
    audit.status().map(|status| lines(&status)).unwrap_or_default()
}

fn lines(status: &AuditStatus) -> String {
    let mut text = String::new();
    let numbers = [
        ("records", "counter", "_total", "Records that this process has written", status.written),
        ("lost", "counter", "_total", "Records that this process has lost", status.lost),
        ("waiting", "gauge", "", "Records that wait to be written", status.waiting as u64),
        ("available", "gauge", "", "Whether records can be written now", u64::from(status.is_available)),
    ];
    for (name, kind, suffix, help, value) in numbers {
        // What is written into text never fails.
        let _ = write!(
            text,
            "# HELP bank_gateway_audit_{name} {help}.\n# TYPE bank_gateway_audit_{name} {kind}\n\
             bank_gateway_audit_{name}{suffix} {value}\n"
        );
    }
    // A hash is base64url.
    let _ = write!(
        text,
        "# HELP bank_gateway_audit_head The hash of the last record, to be kept elsewhere.\n\
         # TYPE bank_gateway_audit_head info\nbank_gateway_audit_head_info{{hash=\"{}\"}} 1\n",
        status.head
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_the_head_are_told() {
        let status = AuditStatus { written: 3, lost: 1, head: "abc".to_owned(), ..AuditStatus::default() };
        let text = lines(&status);
        for line in [
            "bank_gateway_audit_records_total 3",
            "bank_gateway_audit_lost_total 1",
            "bank_gateway_audit_available 0",
            "bank_gateway_audit_head_info{hash=\"abc\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
