#![doc = include_str!("../README.md")]

mod call;
pub mod client;
pub mod declaration;
mod endpoint;
pub mod events;
mod handler;
pub mod http;
pub mod idempotency;
pub mod identity;
mod input;
mod opaque_string;
pub mod openapi;
mod outage;
pub mod page;
mod principal;
mod problem;
pub mod serve;
mod service;
pub mod testing;
pub mod text;

pub use bank_stores as stores;
pub use call::{Call, Reply};
pub use declaration::{Access, Api, DeclarationError, EndpointDeclaration};
pub use endpoint::{Empty, Endpoint};
pub use handler::Endpoints;
pub use idempotency::{DerivationKey, Fingerprint, IdempotencyKey};
pub use opaque_string::{opaque_string, password_spellings};
pub use outage::Outage;
pub use page::{Limit, List};
pub use principal::{Actor, Principal, PrincipalKind};
pub use problem::{FieldError, Problem};
pub use service::{BankService, Responding, Service, method_not_allowed};
