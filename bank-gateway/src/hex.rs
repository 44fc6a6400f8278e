//! Hexadecimal digits.

/// The value of a digit, of either case.
pub(crate) const fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The octet that two digits of either case write.
pub(crate) fn octet(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? * 16 + digit(low)?)
}

/// The octets that digits in lower case write; nothing where another character stands there, or they are not twice as many.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() || text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut octets = [0; N];
    for (own, [high, low]) in octets.iter_mut().zip(pairs) {
        *own = octet(*high, *low)?;
    }
    Some(octets)
}

/// Writes octets as digits in lower case.
pub(crate) fn encode(octets: &[u8], into: &mut [u8]) {
    for (pair, octet) in into.as_chunks_mut().0.iter_mut().zip(octets) {
        *pair = PAIRS[usize::from(*octet)];
    }
}

/// Both digits of every octet.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut octet = 0;
    while octet < 256 {
        pairs[octet] = [DIGITS[octet >> 4], DIGITS[octet & 15]];
        octet += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let mut text = [0; 6];
        encode(&[0x00, 0xa9, 0xff], &mut text);
        assert_eq!(&text, b"00a9ff");
        assert_eq!(decode(&text), Some([0x00, 0xa9, 0xff]));
        for wrong in ["00a9f", "00a9ff0", "00A9ff", "00a9fg", "00a9 f", ""] {
            assert_eq!(decode::<3>(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!((octet(b'A', b'f'), octet(b'g', b'0')), (Some(0xaf), None));
    }
}
