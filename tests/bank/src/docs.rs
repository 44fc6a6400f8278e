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
#[doc = include_str!("../../../docs/measurements.md")]
mod measurements {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/performance.md")]
mod performance {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/security.md")]
mod security {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/stores.md")]
mod stores {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/tutorials/a-gateway-before-my-service.md")]
mod a_gateway_before_my_service {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/tutorials/a-service-with-a-ledger.md")]
mod a_service_with_a_ledger {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/tutorials/my-own-bank-from-four-services.md")]
mod my_own_bank_from_four_services {}
