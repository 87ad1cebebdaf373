//! Suite 1 of Chancery behind typed keys: the only crate that names a primitive.
//!
//! ```
//! use chancery_crypto::{label, rng::seeded, signature::SigningKey};
//!
//! let mut rng = seeded([7; 32]);
//! let key = SigningKey::generate(&mut rng);
//! let signature = key.sign(label::SIGN_HANDSHAKE, b"transcript", &mut rng);
//! assert!(key.verifying_key().verify(label::SIGN_HANDSHAKE, b"transcript", &signature).is_ok());
//! assert!(key.verifying_key().verify(label::SIGN_HANDSHAKE, b"another", &signature).is_err());
//! ```
//!
//! The main types are [`secret::Secret`], [`x25519::DhSecret`], [`kem::KemSecret`],
//! [`signature::SigningKey`] and [`aead::OneTimeKey`]. Randomness is always an argument; nothing here
//! reads a clock, a file or the operating system's generator.
//!
//! What this crate does not do: it gives no key a meaning and knows no message format.
//!
//! Source: `docs/PROTOCOL.md`, section "Suite 1" (R-CRYPTO).
#![no_std]

extern crate alloc;

pub mod aead;
pub mod committing;
pub mod cosignature;
pub mod ed25519;
pub mod hash;
pub mod kdf;
pub mod kem;
pub mod kem_incremental;
pub mod label;
pub mod merkle;
pub mod password;
pub mod rng;
pub mod secret;
pub mod shamir;
pub mod signature;
pub mod stream;
pub mod x25519;

mod error;

pub use error::{InvalidKey, NotAuthentic};
