//! Whether a host is this machine.

use std::net::IpAddr;

use http::uri::Authority;

/// Whether a host, with its port where it has one, is this machine by its own words: `localhost`, a name below it (RFC 6761
/// §6.3), or a loopback address. Other names are not looked up.
///
/// ```
/// use bank_sdk::http::is_loopback_host;
///
/// assert!(is_loopback_host("localhost:8080") && is_loopback_host("[::1]"));
/// assert!(!is_loopback_host("bank.example"));
/// ```
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = address.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for own in [
            "localhost",
            "LocalHost:80",
            "bank.localhost",
            "localhost.",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:1",
        ] {
            assert!(is_loopback_host(own), "{own}");
        }
        for other in
            ["", "bank.example", "localhost.example", "notlocalhost", "10.0.0.1", "[::2]", "a b", "0.0.0.0"]
        {
            assert!(!is_loopback_host(other), "{other}");
        }
    }
}
