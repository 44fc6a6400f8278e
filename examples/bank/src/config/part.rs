//! Where a service keeps its data.

use std::path::PathBuf;

use super::fault::Fault;
use super::settings::Settings;
#[cfg(feature = "servers")]
use crate::Fatal;
use crate::args::Part;

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
    /// The place of a service; none where the data directory is it.
    pub(super) fn of(part: Part, settings: &Settings, faults: &mut Vec<Fault>) -> Option<Self> {
        let name = part.name();
        let path = |key: &str| format!("{name}.{key}");
        let Some(url) = settings.text(&path("store")) else {
            for setting in ["store_readers", "store_authorities", "store_password_file"] {
                if settings.is_said(&path(setting)) && !settings.is_broken(&path("store")) {
                    faults
                        .push(settings.fault(&path(setting), "there is no `store` that it is for; add one"));
                }
            }
            return None;
        };
        Some(Self {
            name: format!("[{name}] store"),
            url,
            readers: settings.text(&path("store_readers")),
            authorities: settings.path(&path("store_authorities")),
            password_file: settings.path(&path("store_password_file")),
        })
    }

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
