use super::*;

fn sealer() -> Sealer {
    Sealer::new("k1", [1; 32]).unwrap()
}

#[test]
fn what_was_changed_or_moved_does_not_open() {
    let sealer = sealer();
    let text = sealer.seal(b"row", b"secret").unwrap();
    let bytes = sealer.seal_bytes(b"row", b"secret").unwrap();
    assert_eq!(sealer.open(b"row", &text).unwrap(), b"secret");
    assert_eq!(sealer.open_bytes(b"row", &bytes).unwrap(), b"secret");
    assert_eq!(sealer.open(b"other", &text).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(sealer.open_bytes(b"other", &bytes).unwrap_err().kind(), ErrorKind::Denied);
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        assert!(sealer.open_bytes(b"row", &changed).is_err(), "{index}");
    }
    for index in TEXT.len()..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        assert!(sealer.open(b"row", std::str::from_utf8(&changed).unwrap()).is_err(), "{index}");
    }
    for junk in ["", "sealed.1.", "sealed.1.k1", "sealed.1.k1.", "sealed.2.k1.AAAA", "sealed.1.k1.AAAA"] {
        assert!(sealer.open(b"row", junk).is_err(), "{junk}");
    }
    for junk in [&b""[..], &MARK, b"\xf5sl\x01\x02k1", b"\xf5sl\x01\xffk1"] {
        assert!(sealer.open_bytes(b"row", junk).is_err(), "{junk:?}");
    }
}

#[test]
fn another_key_opens_nothing() {
    let sealed = sealer().seal(b"row", b"secret").unwrap();
    for other in [Sealer::new("k1", [2; 32]).unwrap(), Sealer::new("k2", [1; 32]).unwrap()] {
        assert_eq!(other.open(b"row", &sealed).unwrap_err().kind(), ErrorKind::Denied);
    }
    for id in ["", "a.b", "ä", &"x".repeat(65)] {
        assert_eq!(Sealer::new(id, [1; 32]).unwrap_err().field(), Some("key"), "{id}");
    }
}

#[test]
fn a_write_seals_the_same_and_another_write_differs() {
    let sealer = sealer();
    let sealed = sealer.seal_write(b"row", "w1", b"secret").unwrap();
    assert_eq!(sealed, sealer.seal_write(b"row", "w1", b"secret").unwrap());
    for (context, write, value) in
        [(&b"row"[..], "w2", &b"secret"[..]), (b"row", "w1", b"other"), (b"other", "w1", b"secret")]
    {
        let other = sealer.seal_write(context, write, value).unwrap();
        let nonce = |text: &str| text.split('.').next_back().unwrap()[..32].to_owned();
        assert_ne!(nonce(&sealed), nonce(&other));
        assert_eq!(sealer.open(context, &other).unwrap(), value);
    }
    assert_ne!(sealer.seal(b"row", b"secret").unwrap(), sealer.seal(b"row", b"secret").unwrap());
}

#[test]
fn the_blind_index_tells_equality_within_a_context_only() {
    let sealer = sealer();
    let index = sealer.blind_index(b"email", b"a@example.com");
    assert_eq!(index, sealer.blind_index(b"email", b"a@example.com"));
    assert_ne!(index, sealer.blind_index(b"name", b"a@example.com"));
    assert_ne!(sealer.blind_index(b"ab", b"c"), sealer.blind_index(b"a", b"bc"));
}

#[test]
fn lengths_are_within_what_limits_allow() {
    let sealer = Sealer::new("x".repeat(64), [1; 32]).unwrap();
    for length in 0..200 {
        let plain = vec![7; length];
        let text = sealer.seal(b"row", &plain).unwrap();
        assert!(text.len() <= crate::sealed::longest_text(length));
        let bytes = sealer.seal_bytes(b"row", &plain).unwrap();
        assert_eq!(bytes.len(), length + crate::sealed::MORE_BYTES);
    }
}

#[test]
fn no_key_is_shown() {
    let shown = format!("{:?}", Sealer::new("k1", [171; 32]).unwrap());
    assert!(shown.contains("k1") && !shown.contains("171") && !shown.contains("abab"), "{shown}");
}
