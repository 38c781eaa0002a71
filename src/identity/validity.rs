//! When a certificate is valid: a reader for the two dates, and nothing else, of an X.509 certificate.

use std::fmt;

use rustls_pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The span in which a certificate is valid, as text such as `2026-01-31 12:00:00 UTC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub from: String,
    /// Its last second.
    pub until: String,
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} until {}", self.from, self.until)
    }
}

impl Validity {
    /// Reads the dates, or nothing if this is no certificate.
    pub fn of_certificate(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate, _) = element(der)?;
        let (_, body, _) = element(certificate)?;
        // [0] version (optional), serial, signature algorithm, issuer, and then what we want.
        let (tag, _, after_first) = element(body)?;
        let mut rest = if tag == VERSION { element(after_first)?.2 } else { after_first };
        for _ in 0..2 {
            rest = element(rest)?.2;
        }
        let (tag, dates, _) = element(rest)?;
        let (from_tag, from, rest) = element(dates)?;
        let (until_tag, until, _) = element(rest)?;
        (tag == SEQUENCE).then_some(())?;
        Some(Self { from: date(from_tag, from)?, until: date(until_tag, until)? })
    }
}

/// Splits one DER element off: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(d, _)| d.len() <= 4)?;
        (digits.iter().fold(0, |n, &digit| n << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn date(tag: u8, digits: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(digits).ok()?.strip_suffix('Z').filter(|t| t.is_ascii())?;
    let text = match tag {
        // Two-digit years: 50 to 99 are of the last century (RFC 5280).
        UTC_TIME if text.get(..1)? >= "5" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    Some(format!("{year}-{month}-{day} {hour}:{minute}:{second} UTC"))
}
