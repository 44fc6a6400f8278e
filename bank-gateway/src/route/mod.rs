//! One immutable table from host, path, method, header and query to what is done with a request, and the policy that a team
//! gives to one route or one service.
//!
//! The most specific route wins: a literal path segment over a parameter over the rest; then, among the routes of one path
//! template and method, one that names a host over one that does not, then the one with more conditions. Two routes that
//! could both win are a build error that names both. Where no route of a template has conditions that fit, the next template
//! is asked: `/v1/x` for one host does not hide `/{*rest}` for another.

pub(crate) mod canonical;
mod definition;
mod entry;
mod error_pages;
mod info;
mod policy;
mod rewrite;
mod service;
mod table;
mod tree;

pub(crate) use definition::Conditions;
pub use definition::Route;
pub(crate) use entry::{Entry, Matcher};
pub use error_pages::ErrorPages;
pub use info::RouteInfo;
pub use policy::{Policy, Render};
pub use rewrite::{ChangeFields, Rewrite};
pub use service::Routes;
pub(crate) use table::Table;
