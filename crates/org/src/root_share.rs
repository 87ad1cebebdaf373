//! Shares of the key of the root's file, for paper (R-ORG-24).
//!
//! ```text
//! share = "chancery-share:" || base64url-no-padding(body || SHA-256(body)[0..4])
//!
//! body: offset  length  field
//!            0       1  version, 1
//!            1       8  first bytes of the organisation's identifier
//!            9       8  set, drawn for each split
//!           17       1  threshold
//!           18       1  index, from 1
//!           19      32  value
//! ```
//!
//! The checksum finds typing errors; it authenticates nothing. Whether shares were genuine shows when the file
//! opens, or does not.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_crypto::hash::sha256;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::shamir::{self, ShamirError, Share};
use chancery_identity::OrgId;

/// What a share starts with.
pub const SHARE_PREFIX: &str = "chancery-share:";
/// Length of a share, prefix and all, in bytes.
pub const SHARE_LEN: usize = SHARE_PREFIX.len() + (BODY_LEN + CHECKSUM_LEN) * 4 / 3 + 1;

const VERSION: u8 = 1;
const SHORT_LEN: usize = 8;
const SET_LEN: usize = 8;
const BODY_LEN: usize = 1 + SHORT_LEN + SET_LEN + 2 + shamir::SECRET_LEN;
const CHECKSUM_LEN: usize = 4;
/// Longest text that is decoded, after its prefix: three shares of this version, which a later one may need.
const MAX_TEXT_LEN: usize = 256;

/// Why text is no share, or shares give no key. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// It does not start with `chancery-share:`; give the whole line.
    #[error("text is not a share")]
    NotAShare,
    /// It was cut or mistyped; compare it with the paper.
    #[error("share is damaged")]
    Damaged,
    /// It comes from a newer version; update.
    #[error("share is of an unknown version")]
    UnsupportedVersion,
    /// Not 2 ≤ threshold ≤ shares ≤ 16; ask for other numbers.
    #[error("number of shares is out of range")]
    OutOfRange,
    /// More shares are needed; bring them.
    #[error("too few shares")]
    TooFew {
        /// How many there are.
        given: u8,
        /// How many are needed.
        needed: u8,
    },
    /// The shares were not made together; leave out those of another organisation or another split.
    #[error("shares are of different sets")]
    Mixed,
    /// The same share is there twice; bring another one.
    #[error("a share is there twice")]
    Doubled,
}

/// One share of the key of the root's file. Whoever has as many as are needed has the root.
#[derive(Debug)]
pub struct RootShare {
    organisation: [u8; SHORT_LEN],
    set: [u8; SET_LEN],
    share: Share,
}

impl RootShare {
    /// Writes the share for paper. The text is as secret as the share.
    #[must_use]
    pub fn encode(&self) -> String {
        // One allocation of the final size, so that growing leaves no copy behind.
        let mut bytes = Vec::with_capacity(BODY_LEN.saturating_add(CHECKSUM_LEN));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.organisation);
        bytes.extend_from_slice(&self.set);
        bytes.extend_from_slice(&[self.share.threshold(), self.share.index()]);
        bytes.extend_from_slice(self.share.value().expose());
        let checksum = sha256(&[&bytes]);
        bytes.extend(checksum.iter().take(CHECKSUM_LEN));
        let bytes = SecretBytes::new(bytes);
        let mut text = String::with_capacity(SHARE_LEN);
        text.push_str(SHARE_PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.expose(), &mut text);
        text
    }

    /// Reads a share. White space (Unicode's) around it is ignored.
    ///
    /// # Errors
    ///
    /// [`ShareError::NotAShare`], [`ShareError::Damaged`], [`ShareError::UnsupportedVersion`]: nothing can be done
    /// with this text.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let encoded = text.trim().strip_prefix(SHARE_PREFIX).ok_or(ShareError::NotAShare)?;
        if encoded.len() > MAX_TEXT_LEN {
            return Err(ShareError::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map(SecretBytes::new).map_err(|_| ShareError::Damaged)?;
        let (body, checksum) =
            bytes.expose().split_last_chunk::<CHECKSUM_LEN>().ok_or(ShareError::Damaged)?;
        if !sha256(&[body]).starts_with(checksum) {
            return Err(ShareError::Damaged);
        }
        match body.split_first() {
            Some((&VERSION, fields)) => Self::from_fields(fields).ok_or(ShareError::Damaged),
            Some(_) => Err(ShareError::UnsupportedVersion),
            None => Err(ShareError::Damaged),
        }
    }

    fn from_fields(fields: &[u8]) -> Option<Self> {
        let (organisation, rest) = fields.split_first_chunk()?;
        let (set, rest) = rest.split_first_chunk()?;
        let ([threshold, index], value) = rest.split_first_chunk()?;
        let share = Share::from_parts(*threshold, *index, Secret::from_slice(value)?).ok()?;
        Some(Self { organisation: *organisation, set: *set, share })
    }

    /// Returns how many shares are needed.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.share.threshold()
    }

    /// Returns which share it is, from 1.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.share.index()
    }

    /// Returns what the shares that were made together have in common, and no other.
    #[must_use]
    pub const fn set(&self) -> &[u8; 8] {
        &self.set
    }

    /// Whether the share says that it is of this organisation, as far as its eight bytes tell.
    #[must_use]
    pub fn is_of(&self, organisation: &OrgId) -> bool {
        organisation.as_bytes().starts_with(&self.organisation)
    }
}

/// Splits the key of the file that holds the root of `organisation` into `shares` shares, any `threshold` of
/// which give it back.
///
/// # Errors
///
/// [`ShareError::OutOfRange`]: nothing was split.
pub fn split_root_key(
    key: &Secret<32>,
    organisation: &OrgId,
    (threshold, shares): (u8, u8),
    rng: &mut dyn CryptoRng,
) -> Result<Vec<RootShare>, ShareError> {
    let [short, ..] = organisation.as_bytes().as_chunks::<SHORT_LEN>().0 else {
        return Err(ShareError::OutOfRange);
    };
    let set = random_bytes(rng);
    let shares = shamir::split(key, threshold, shares, rng).map_err(|_| ShareError::OutOfRange)?;
    Ok(shares.into_iter().map(|share| RootShare { organisation: *short, set, share }).collect())
}

/// Puts the key of the root's file together.
///
/// # Errors
///
/// [`ShareError::TooFew`], [`ShareError::Mixed`], [`ShareError::Doubled`]: there is no key. Shares that somebody
/// forged give a key that opens nothing, and no error.
pub fn join_root_key(shares: &[RootShare]) -> Result<Secret<32>, ShareError> {
    let Some(first) = shares.first() else {
        return Err(ShareError::TooFew { given: 0, needed: shamir::MIN_THRESHOLD });
    };
    let (organisation, set, needed) = (first.organisation, first.set, first.threshold());
    if shares.iter().any(|share| share.organisation != organisation || share.set != set) {
        return Err(ShareError::Mixed);
    }
    let given = u8::try_from(shares.len()).unwrap_or(u8::MAX);
    shamir::combine(shares.iter().map(|share| &share.share)).map_err(|error| match error {
        ShamirError::TooFew => ShareError::TooFew { given, needed },
        ShamirError::Doubled => ShareError::Doubled,
        _ => ShareError::Mixed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use chancery_crypto::rng::seeded;
    use proptest::prelude::*;

    const ACME: OrgId = OrgId::new([0xAC; 32]);

    fn key() -> Secret<32> {
        Secret::from_bytes([0xA5; 32])
    }

    fn texts(organisation: &OrgId, numbers: (u8, u8), seed: u8) -> Vec<String> {
        let shares = split_root_key(&key(), organisation, numbers, &mut seeded([seed; 32])).unwrap();
        shares.iter().map(RootShare::encode).collect()
    }

    fn join(texts: &[&str]) -> Result<Secret<32>, ShareError> {
        let shares: Vec<_> = texts.iter().map(|text| RootShare::parse(text).unwrap()).collect();
        join_root_key(&shares)
    }

    #[test]
    fn a_share_survives_paper_and_any_two_of_three_give_the_key_r_org_24() {
        let texts = texts(&ACME, (2, 3), 1);
        for text in &texts {
            assert_eq!(text.len(), SHARE_LEN);
            let read = RootShare::parse(&format!("\t {text}\r\n")).unwrap();
            assert_eq!(read.encode(), *text);
            assert!(read.is_of(&ACME) && !read.is_of(&OrgId::new([1; 32])));
            assert_eq!(read.threshold(), 2);
        }
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            assert!(join(&[&texts[a], &texts[b]]).unwrap().ct_eq(key().expose()));
        }
        assert!(join(&[&texts[0], &texts[1], &texts[2]]).unwrap().ct_eq(key().expose()));
    }

    #[test]
    fn what_does_not_belong_together_is_refused_r_org_24() {
        let (ours, again, theirs) =
            (texts(&ACME, (2, 3), 1), texts(&ACME, (2, 3), 2), texts(&OrgId::new([1; 32]), (2, 3), 1));
        assert_eq!(join(&[]).unwrap_err(), ShareError::TooFew { given: 0, needed: 2 });
        assert_eq!(join(&[&ours[0]]).unwrap_err(), ShareError::TooFew { given: 1, needed: 2 });
        assert_eq!(join(&[&ours[0], &ours[0]]).unwrap_err(), ShareError::Doubled);
        assert_eq!(join(&[&ours[0], &again[1]]).unwrap_err(), ShareError::Mixed);
        assert_eq!(join(&[&ours[0], &theirs[1]]).unwrap_err(), ShareError::Mixed);
        let refused = split_root_key(&key(), &ACME, (1, 3), &mut seeded([1; 32])).unwrap_err();
        assert_eq!(refused, ShareError::OutOfRange);
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = texts(&ACME, (2, 3), 1).remove(0);
        for position in 0..text.len() {
            for other in "AaZz09-_!= ".chars() {
                let mut bad: Vec<char> = text.chars().collect();
                if bad[position] == other {
                    continue;
                }
                bad[position] = other;
                let bad: String = bad.into_iter().collect();
                let expected =
                    if position < SHARE_PREFIX.len() { ShareError::NotAShare } else { ShareError::Damaged };
                assert_eq!(RootShare::parse(&bad).unwrap_err(), expected, "{position} {other}");
            }
        }
        for length in SHARE_PREFIX.len()..text.len() {
            assert_eq!(RootShare::parse(&text[..length]).unwrap_err(), ShareError::Damaged);
        }
        for other in ["", "chancery:AAAA", "share"] {
            assert_eq!(RootShare::parse(other).unwrap_err(), ShareError::NotAShare);
        }
        let long = format!("{SHARE_PREFIX}{}", "A".repeat(1_000_000));
        assert_eq!(RootShare::parse(&long).unwrap_err(), ShareError::Damaged);
    }

    #[test]
    fn a_good_checksum_does_not_make_a_share() {
        let check = |change: fn(&mut Vec<u8>)| {
            let mut body = [vec![1], vec![0xAC; 8], vec![7; 8], vec![2, 1], vec![9; 32]].concat();
            change(&mut body);
            let checksum = sha256(&[&body]);
            body.extend_from_slice(&checksum[..4]);
            RootShare::parse(&format!("{SHARE_PREFIX}{}", URL_SAFE_NO_PAD.encode(body))).map(|_| ())
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(check(|body| body[0] = 2), Err(ShareError::UnsupportedVersion));
        assert_eq!(check(|body| body[0] = 0), Err(ShareError::UnsupportedVersion));
        assert_eq!(check(|body| body[17] = 1), Err(ShareError::Damaged));
        assert_eq!(check(|body| body[17] = 17), Err(ShareError::Damaged));
        assert_eq!(check(|body| body[18] = 0), Err(ShareError::Damaged));
        assert_eq!(check(|body| body[18] = 17), Err(ShareError::Damaged));
        assert_eq!(check(|body| body.truncate(50)), Err(ShareError::Damaged));
        assert_eq!(check(|body| body.push(0)), Err(ShareError::Damaged));
        assert_eq!(check(Vec::clear), Err(ShareError::Damaged));
    }

    #[test]
    fn a_share_does_not_print_its_value() {
        let value = Secret::from_bytes([0xA5; 32]);
        let share = Share::from_parts(2, 1, value).unwrap();
        let text = format!("{:?}", RootShare { organisation: [0; 8], set: [0; 8], share });
        assert!(!text.contains("165") && !text.to_lowercase().contains("a5"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_share_or_refused(text in ".{0,200}") {
            let _ = RootShare::parse(&text);
            let _ = RootShare::parse(&format!("{SHARE_PREFIX}{text}"));
        }
    }
}
