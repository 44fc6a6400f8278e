//! Compiles the code of the guide and of the first page.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/architecture.md")]
mod architecture {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/errors.md")]
mod errors {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/identity.md")]
mod identity {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/layers.md")]
mod layers {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/operating.md")]
mod operating {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/performance.md")]
mod performance {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/security.md")]
mod security {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/stores.md")]
mod stores {}
