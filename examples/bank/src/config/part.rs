//! A service's section: where it listens, and where its data is kept.

use std::path::PathBuf;

use serde::Deserialize;

use crate::Fatal;
use crate::args::Part;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PartSection {
    pub(super) listen: Option<String>,
    /// Where its data is kept: an address of its kind of server; a file in the data directory where it is left out.
    store: Option<String>,
    /// Where a ledger is read that need not be current.
    store_readers: Option<String>,
    /// A file with the authorities that may have signed the server's certificate.
    store_authorities: Option<PathBuf>,
    /// A file with the password, where the address has none.
    store_password_file: Option<PathBuf>,
}

impl PartSection {
    /// The place, of which the environment has the last word; none where the data directory is it.
    pub(super) fn place(&self, part: Part, environment: Environment<'_>) -> Result<Option<Place>, Fatal> {
        let name = part.name();
        let url = environment(&format!("BANK_{}_STORE", name.to_uppercase())).or_else(|| self.store.clone());
        let more = [
            ("store_readers", self.store_readers.is_some(), matches!(part, Part::Accounts)),
            (
                "store_authorities",
                self.store_authorities.is_some(),
                matches!(part, Part::Accounts | Part::Partners),
            ),
            (
                "store_password_file",
                self.store_password_file.is_some(),
                matches!(part, Part::Accounts | Part::Partners),
            ),
        ];
        for (setting, is_there, fits) in more {
            if is_there && !fits {
                let server = match part {
                    Part::Partners => "MongoDB takes none; name all servers in its address",
                    _ => "DynamoDB takes none; credentials and region come from the environment",
                };
                return Err(Fatal::new(format!("[{name}] {setting}: {server}")));
            }
            if is_there && url.is_none() {
                return Err(Fatal::new(format!("[{name}] names {setting}, but no `store` that it is for")));
            }
        }
        let Some(url) = url else { return Ok(None) };
        let (scheme, example) = match part {
            Part::Accounts => ("postgres", "postgres://USER@HOST/DATABASE"),
            Part::Partners => ("mongodb", "mongodb://HOST/DATABASE"),
            _ => ("dynamodb", "dynamodb:TABLE"),
        };
        if !url.starts_with(scheme) {
            // The address itself may hold a password.
            return Err(Fatal::new(format!("[{name}] store: give an address of the form {example}")));
        }
        Ok(Some(Place {
            name: format!("[{name}] store"),
            url,
            readers: self.store_readers.clone(),
            authorities: self.store_authorities.clone(),
            password_file: self.store_password_file.clone(),
        }))
    }
}

/// The environment's variables.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where data is kept, if not in the data directory. An address may hold a password.
#[derive(Clone)]
#[cfg_attr(not(feature = "servers"), allow(dead_code, reason = "only servers are reached by it"))]
pub(crate) struct Place {
    /// What it is called in the file, for who has to mend it.
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) readers: Option<String>,
    pub(crate) authorities: Option<PathBuf>,
    pub(super) password_file: Option<PathBuf>,
}

impl Place {
    /// Where data keys are kept that have no store of items beside them.
    pub(crate) fn seal(url: &str) -> Self {
        Self {
            name: "[seal] store".to_owned(),
            url: url.to_owned(),
            readers: None,
            authorities: None,
            password_file: None,
        }
    }
}

#[cfg(feature = "servers")]
impl Place {
    /// The password, where a file has it.
    pub(crate) fn password(&self) -> Result<Option<String>, Fatal> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Fatal::caused(format!("{}: {}", self.name, path.display()), &error))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// What is wrong with it.
    pub(crate) fn wrong(&self, error: &bank_stores::Error) -> Fatal {
        Fatal::caused(&self.name, error)
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(part: Part, text: &str) -> Result<Option<Place>, Fatal> {
        toml::from_str::<PartSection>(text).unwrap().place(part, &|_| None)
    }

    #[test]
    fn a_place_that_does_not_fit_its_part_is_refused_with_what_would() {
        let store = |url: &str| format!("store = \"{url}\"\n");
        let table = store("dynamodb:bank-users");
        for (part, text, said) in [
            (Part::Accounts, table.clone(), "postgres://"),
            (Part::Transactions, store("postgres://user:s3cret@db/bank"), "dynamodb:TABLE"),
            (Part::Identity, store("mongodb://db/bank"), "dynamodb:TABLE"),
            (Part::Partners, store("redis://db"), "mongodb://"),
            (Part::Accounts, "store_readers = \"postgres://db\"".to_owned(), "no `store`"),
            (Part::Partners, "store_password_file = \"p\"".to_owned(), "no `store`"),
            (Part::Identity, format!("{table}store_password_file = \"p\""), "from the environment"),
            (Part::Partners, format!("{}store_readers = \"x\"", store("mongodb://db/bank")), "MongoDB"),
        ] {
            let refused = place(part, &text).unwrap_err().to_string();
            assert!(refused.contains(said) && !refused.contains("s3cret"), "{refused}");
        }
        assert!(place(Part::Identity, "").unwrap().is_none());
        assert_eq!(place(Part::Identity, &table).unwrap().unwrap().url, "dynamodb:bank-users");
    }

    #[test]
    fn the_environment_has_the_last_word_on_a_place_and_no_password_is_shown() {
        let environment = |name: &str| {
            (name == "BANK_PARTNERS_STORE").then(|| "mongodb://user:s3cret@there/bank".to_owned())
        };
        let section: PartSection = toml::from_str("store = \"mongodb://here/bank\"").unwrap();
        let place = section.place(Part::Partners, &environment).unwrap().unwrap();
        assert!(place.url.ends_with("@there/bank"));
        assert!(!format!("{place:?}").contains("s3cret"));
    }
}
