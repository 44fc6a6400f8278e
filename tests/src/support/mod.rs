//! One file a tool.

pub(crate) mod bank;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod customer;
pub(crate) mod edge;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod recorder;
pub(crate) mod seeded;
pub(crate) mod wait;
pub(crate) mod webdriver;
