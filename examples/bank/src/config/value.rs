//! A value of the configuration, read as its key's kind says.

use std::fmt::{self, Write as _};
use std::ops::Range;

use bank_gateway::{ClientAddress, Quota};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::Kind;
use crate::args::TlsChoice;
use crate::spelling::nearest;

/// A value that its kind allows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Switch(bool),
    List(Vec<String>),
    Quota(Quota, String),
}

/// What is wrong with a value, and where in the text if that is a part of it.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) at: Option<Range<usize>>,
}

fn wrong(message: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), at: None }
}

impl Value {
    /// From a file.
    pub(super) fn of(kind: Kind, found: &DeValue<'_>) -> Result<Self, Wrong> {
        let value = match (kind, found) {
            (Kind::Refused(why), _) => return Err(wrong(why)),
            (Kind::Switch, DeValue::Boolean(switch)) => Self::Switch(*switch),
            (Kind::Number(..), DeValue::Integer(number)) => {
                let read = i64::from_str_radix(number.as_str(), number.radix());
                Self::Number(read.unwrap_or(i64::MAX))
            }
            (Kind::Quota, DeValue::Table(table)) => return quota(table),
            (Kind::Networks | Kind::Endpoints | Kind::Texts, DeValue::Array(items)) => {
                let mut texts = Vec::new();
                for item in items.iter() {
                    let text = item.get_ref().as_str().ok_or_else(|| Wrong {
                        message: format!(
                            "give a list of strings; {} is among them",
                            one(item.get_ref().type_str())
                        ),
                        at: Some(item.span()),
                    })?;
                    item_fits(kind, text).map_err(|message| Wrong { message, at: Some(item.span()) })?;
                    texts.push(text.to_owned());
                }
                Self::List(texts)
            }
            (
                Kind::Text
                | Kind::Path
                | Kind::OneOf(_)
                | Kind::Address
                | Kind::Tls
                | Kind::LogLevel
                | Kind::Store(..),
                DeValue::String(text),
            ) => Self::Text(text.clone().into_owned()),
            (kind, found) => {
                return Err(wrong(format!("give {}, not {}", one(kind.type_name()), one(found.type_str()))));
            }
        };
        value.fits(kind).map(|()| value)
    }

    /// From the environment, or from an option. Text stands there as it is; lists have commas, or are written as in the file.
    pub(super) fn from_text(kind: Kind, text: &str) -> Result<Self, Wrong> {
        match kind {
            Kind::Refused(why) => Err(wrong(why)),
            Kind::Networks | Kind::Endpoints | Kind::Texts if !text.trim_start().starts_with('[') => {
                let items: Vec<String> = text
                    .split(',')
                    .map(|item| item.trim().to_owned())
                    .filter(|item| !item.is_empty())
                    .collect();
                items.iter().try_for_each(|item| item_fits(kind, item).map_err(wrong))?;
                let value = Self::List(items);
                value.fits(kind).map(|()| value)
            }
            Kind::Switch
            | Kind::Number(..)
            | Kind::Quota
            | Kind::Networks
            | Kind::Endpoints
            | Kind::Texts => {
                let parsed = DeValue::parse(text)
                    .map_err(|_| wrong(format!("give {}, as in the file", one(kind.type_name()))))?;
                // Places in a variable help nobody.
                Self::of(kind, parsed.get_ref()).map_err(|Wrong { message, .. }| wrong(message))
            }
            _ => {
                let value = Self::Text(text.to_owned());
                value.fits(kind).map(|()| value)
            }
        }
    }

    fn fits(&self, kind: Kind) -> Result<(), Wrong> {
        match (kind, self) {
            (Kind::Number(least, most), Self::Number(number)) if !(least..=most).contains(number) => {
                Err(wrong(format!("{number} does not do; give {least} to {most}")))
            }
            (Kind::OneOf(words), Self::Text(text)) if !words.contains(&text.as_str()) => Err(wrong(format!(
                "`{text}` is not known{}; give one of {}",
                nearest(text, words),
                words.join(", ")
            ))),
            (Kind::Tls, Self::Text(text)) => match TlsChoice::parse(text) {
                Ok(_) => Ok(()),
                Err(reason) => Err(wrong(reason)),
            },
            (Kind::LogLevel, Self::Text(text)) => crate::logging::check(text).map_err(wrong),
            (Kind::Store(schemes, example), Self::Text(text)) => {
                store_fits(schemes, example, text).map_err(wrong)
            }
            (Kind::Path | Kind::Text, Self::Text(text)) if text.is_empty() => {
                Err(wrong("is empty; leave it out"))
            }
            (Kind::Endpoints, Self::List(items)) if items.is_empty() => {
                Err(wrong("names no endpoint; give at least one, such as http://127.0.0.1:7101"))
            }
            _ => Ok(()),
        }
    }
}

fn one(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

/// The scheme is looked at before anything is connected to. The rest of an address may hold a password, and is not repeated.
fn store_fits(schemes: &[&str], example: &str, text: &str) -> Result<(), String> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    if schemes.contains(&scheme) {
        return Ok(());
    }
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'+');
    let said = if is_scheme { format!("`{scheme}:` is not kept here; ") } else { String::new() };
    Err(format!("{said}give an address of the form {example}, or leave it out"))
}

fn item_fits(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Networks => match ClientAddress::behind([text]) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("`{text}` is no network; give an address or a network such as 10.0.0.0/8")),
        },
        Kind::Endpoints => {
            let uri = text.parse::<http::Uri>().ok();
            let is_one = uri.is_some_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some()
                    && uri.path() == "/"
            });
            if is_one {
                Ok(())
            } else {
                Err(format!("`{text}` is no endpoint; give http://HOST:PORT or https://HOST:PORT"))
            }
        }
        _ => Ok(()),
    }
}

fn quota(table: &DeTable<'_>) -> Result<Value, Wrong> {
    const RATES: [&str; 3] = ["per_second", "per_minute", "per_hour"];
    let (mut rate, mut burst) = (None, None);
    let mut text = String::new();
    for (name, value) in table.iter() {
        let (name, at): (&str, _) = (name.get_ref(), name.span());
        let known = RATES.iter().find(|known| **known == name);
        if known.is_none() && name != "burst" {
            let names = ["per_second", "per_minute", "per_hour", "burst"];
            let message =
                format!("`{name}` is not known{}; a quota has {}", nearest(name, &names), names.join(", "));
            return Err(Wrong { message, at: Some(at) });
        }
        let number = positive(value)?;
        // What is written into text never fails.
        let _ = write!(text, "{}{name} = {number}", if text.is_empty() { "" } else { ", " });
        match known {
            Some(known) if rate.is_none() => rate = Some((*known, number)),
            Some(_) => return Err(Wrong { message: one_rate(), at: Some(at) }),
            None => burst = Some(number),
        }
    }
    let quota = match rate {
        Some(("per_second", limit)) => Quota::per_second(limit),
        Some(("per_minute", limit)) => Quota::per_minute(limit),
        Some((_, limit)) => Quota::per_hour(limit),
        None => return Err(wrong(one_rate())),
    };
    let quota = burst.map_or(quota, |burst| quota.burst(burst));
    Ok(Value::Quota(quota, format!("{{ {text} }}")))
}

fn one_rate() -> String {
    "a quota has exactly one of per_second, per_minute and per_hour".to_owned()
}

fn positive(value: &Spanned<DeValue<'_>>) -> Result<u32, Wrong> {
    let number = value.get_ref().as_integer();
    let number = number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
    number.filter(|number| *number > 0).ok_or_else(|| Wrong {
        message: format!("a quota is counted in whole numbers from 1 to {}", u32::MAX),
        at: Some(value.span()),
    })
}

/// As it stands in a file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(switch) => write!(f, "{switch}"),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Quota(_, text) => f.write_str(text),
        }
    }
}
