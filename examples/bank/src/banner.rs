//! What `bank --demo` says at a terminal, beside the lines that programs read.

use std::fmt;
use std::path::Path;

use crate::demo::DemoUser;

/// Where everything is, and who may sign in.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) bank: String,
    pub(crate) admin: String,
    pub(crate) data: &'a Path,
    pub(crate) users: &'a [DemoUser],
}

impl Welcome<'_> {
    fn lines(&self) -> Vec<String> {
        let data = std::path::absolute(self.data).unwrap_or_else(|_| self.data.to_owned());
        let mut lines = vec![
            format!("The bank is open: {}", self.bank),
            String::new(),
            format!("{:<22}{}", "Sign in as", "Password"),
        ];
        lines.extend(self.users.iter().map(|user| {
            format!("  {:<10}{:<10}{}", user.username, user.role.unwrap_or("customer"), user.password)
        }));
        lines.extend([
            String::new(),
            format!("API and docs   {}/docs", self.bank),
            format!("For operators  {}", self.admin),
            format!("Data and keys  {}", data.display()),
            String::new(),
            "Ctrl+C stops the bank; its data stays.".to_owned(),
        ]);
        lines
    }
}

/// In a box.
impl fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let width = lines.iter().map(|line| console::measure_text_width(line)).max().unwrap_or_default();
        let rule = "─".repeat(width + 2);
        writeln!(f, "┌{rule}┐")?;
        for line in &lines {
            let space = " ".repeat(width - console::measure_text_width(line));
            writeln!(f, "│ {line}{space} │")?;
        }
        write!(f, "└{rule}┘")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_says_who_may_sign_in_where_everything_is_and_how_to_stop() {
        let users = [
            DemoUser { username: "alice", name: "Alice Ahrens", role: None, password: "secret-a".to_owned() },
            DemoUser {
                username: "teller",
                name: "Tilda Teller",
                role: Some("teller"),
                password: "secret-t".to_owned(),
            },
        ];
        let welcome = Welcome {
            bank: "http://127.0.0.1:8080".to_owned(),
            admin: "http://127.0.0.1:9090/admin/".to_owned(),
            data: Path::new("/var/lib/bank"),
            users: &users,
        };
        let text = welcome.to_string();
        for said in [
            "http://127.0.0.1:8080/docs",
            "/admin/",
            "/var/lib/bank",
            "alice",
            "customer",
            "secret-t",
            "Ctrl+C",
        ] {
            assert!(text.contains(said), "{said} is missing in\n{text}");
        }
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }
}
