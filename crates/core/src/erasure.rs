//! An erasure code: a value of k blocks becomes up to 65,535 codewords, any k of which rebuild it.
//!
//! Systematic Reed-Solomon over GF(2^16), reduced by x^16 + x^12 + x^3 + x + 1 (0x1100B). A codeword is 32 bytes, 16
//! symbols of two bytes, big-endian; symbol s of all codewords is a code of its own. Codeword i < k is block i of the
//! value; codeword i ≥ k is, symbol by symbol, the value at i of the one polynomial of a degree below k that takes block
//! j at each j < k (R-BRAID-3).
//!
//! Time and memory are bounded by [`MAX_BLOCKS`]. Nothing here is constant-time and nothing need be: the values are public
//! keys and ciphertexts.

use alloc::vec::Vec;

/// Length of a codeword, in bytes.
pub(crate) const CODEWORD_LEN: usize = 32;
/// The highest number of a codeword.
pub(crate) const MAX_INDEX: u16 = 65_534;
/// The most blocks of one value: those of a vector, the longest that the braid sends (R-BRAID-3).
pub(crate) const MAX_BLOCKS: usize = 36;

/// Four 64-bit words of four symbols each.
type Symbols = [u64; 4];

/// Multiplies in the field.
const fn multiply(a: u16, b: u16) -> u16 {
    let mut product = 0_u16;
    let mut bit = 16_u32;
    while bit > 0 {
        bit = bit.wrapping_sub(1);
        let carry = product >> 15;
        product = (product << 1) ^ carry.wrapping_mul(0x100B);
        product ^= a & 0_u16.wrapping_sub(b.wrapping_shr(bit) & 1);
    }
    product
}

/// Inverts in the field, a^(2^16 − 2); zero gives zero.
const fn invert(a: u16) -> u16 {
    let mut power = a;
    let mut product = 1;
    let mut bit = 1_u16;
    while bit < 16 {
        power = multiply(power, power);
        product = multiply(product, power);
        bit = bit.wrapping_add(1);
    }
    product
}

/// The polynomials through known codewords, to be evaluated elsewhere.
struct Interpolation {
    numbers: Vec<u16>,
    /// For each number, the product of its differences to all others.
    products: Vec<u16>,
    symbols: Vec<Symbols>,
}

impl Interpolation {
    fn new<'a>(known: impl Iterator<Item = (u16, &'a [u8; CODEWORD_LEN])>) -> Self {
        let (numbers, symbols): (Vec<u16>, Vec<Symbols>) = known.map(|(n, bytes)| (n, load(bytes))).unzip();
        let products = numbers
            .iter()
            .map(|n| numbers.iter().filter(|m| *m != n).fold(1, |product, m| multiply(product, n ^ m)))
            .collect();
        Self { numbers, products, symbols }
    }

    /// The codeword of number `at`, which is none of the known ones: sum of `block_j · N(at) / (product_j · (at − j))`.
    fn at(&self, at: u16) -> [u8; CODEWORD_LEN] {
        let all = self.numbers.iter().fold(1, |product, n| multiply(product, at ^ n));
        let denominators: Vec<u16> =
            self.numbers.iter().zip(&self.products).map(|(n, product)| multiply(*product, at ^ n)).collect();
        let factors: Vec<u16> = invert_all(&denominators).iter().map(|f| multiply(*f, all)).collect();
        // Horner's rule over the bits of the factors, so that a codeword costs sixteen reductions and no more.
        let mut sum = Symbols::default();
        for bit in (0..16_u32).rev() {
            sum = sum.map(double);
            for (factor, symbols) in factors.iter().zip(&self.symbols) {
                let mask = 0_u64.wrapping_sub(u64::from(factor.wrapping_shr(bit) & 1));
                sum.iter_mut().zip(symbols).for_each(|(sum, symbol)| *sum ^= symbol & mask);
            }
        }
        store(&sum)
    }
}

/// Doubles four symbols at once.
const fn double(symbols: u64) -> u64 {
    let carry = symbols & 0x8000_8000_8000_8000;
    ((symbols ^ carry) << 1) ^ (carry >> 15).wrapping_mul(0x100B)
}

/// Inverts many values, none of them zero, with a single inversion.
fn invert_all(values: &[u16]) -> Vec<u16> {
    let mut product = 1;
    let mut before: Vec<u16> = Vec::with_capacity(values.len());
    for value in values {
        before.push(product);
        product = multiply(product, *value);
    }
    let mut inverse = invert(product);
    for (before, value) in before.iter_mut().zip(values).rev() {
        *before = multiply(*before, inverse);
        inverse = multiply(inverse, *value);
    }
    before
}

fn load(bytes: &[u8; CODEWORD_LEN]) -> Symbols {
    let (words, _) = bytes.as_chunks::<8>();
    let mut symbols = Symbols::default();
    symbols.iter_mut().zip(words).for_each(|(symbol, word)| *symbol = u64::from_be_bytes(*word));
    symbols
}

fn store(symbols: &Symbols) -> [u8; CODEWORD_LEN] {
    let mut bytes = [0; CODEWORD_LEN];
    let (words, _) = bytes.as_chunks_mut::<8>();
    words.iter_mut().zip(symbols).for_each(|(word, symbol)| *word = symbol.to_be_bytes());
    bytes
}

/// Appends the codewords `numbers` of `value`, whole blocks and at most [`MAX_BLOCKS`], to `out`.
///
/// Those below k are copied; the first of the others costs k² multiplications, each further one 6 k.
pub(crate) fn encode(value: &[u8], numbers: core::ops::Range<u16>, out: &mut Vec<u8>) {
    let (blocks, _) = value.as_chunks::<CODEWORD_LEN>();
    let mut interpolation = None;
    for number in numbers {
        match blocks.get(usize::from(number)) {
            Some(block) => out.extend_from_slice(block),
            None => {
                let new = || Interpolation::new((0..=MAX_INDEX).zip(blocks));
                out.extend_from_slice(&interpolation.get_or_insert_with(new).at(number));
            }
        }
    }
}

/// Rebuilds a value of `k` blocks from exactly `k` codewords with different numbers.
pub(crate) fn decode<'a>(
    k: usize,
    codewords: impl Iterator<Item = (u16, &'a [u8; CODEWORD_LEN])>,
) -> Vec<u8> {
    let known: Vec<_> = codewords.take(k).collect();
    let mut interpolation = None;
    let mut value = Vec::with_capacity(k.saturating_mul(CODEWORD_LEN));
    for number in (0..=MAX_INDEX).take(k) {
        match known.iter().find(|(n, _)| *n == number) {
            Some((_, block)) => value.extend_from_slice(*block),
            None => {
                let new = || Interpolation::new(known.iter().copied());
                value.extend_from_slice(&interpolation.get_or_insert_with(new).at(number));
            }
        }
    }
    value
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test that goes wrong may panic"
)]
mod tests {
    use super::*;
    use alloc::string::String;
    use chancery_crypto::rng::{random_bytes, seeded};
    use proptest::prelude::*;

    type Codeword = (u16, [u8; CODEWORD_LEN]);

    fn value(k: usize, seed: u8) -> Vec<u8> {
        let mut rng = seeded([seed; 32]);
        (0..k).flat_map(|_| random_bytes::<CODEWORD_LEN>(&mut rng)).collect()
    }

    fn codewords(value: &[u8], numbers: impl IntoIterator<Item = u16>) -> Vec<Codeword> {
        numbers
            .into_iter()
            .map(|n| {
                let mut out = Vec::new();
                encode(value, n..n + 1, &mut out);
                (n, out.try_into().unwrap())
            })
            .collect()
    }

    fn rebuild(k: usize, codewords: &[Codeword]) -> Vec<u8> {
        decode(k, codewords.iter().map(|(n, bytes)| (*n, bytes)))
    }

    #[test]
    fn the_field_is_the_one_that_is_named() {
        // R-BRAID-3
        assert_eq!(multiply(0x8000, 2), 0x100B);
        assert_eq!(multiply(0x1234, 1), 0x1234);
        assert_eq!(multiply(0x1234, 0), 0);
        for a in (1..=u16::MAX).step_by(7) {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
            assert_eq!(double(u64::from(a)), u64::from(multiply(a, 2)));
        }
    }

    #[test]
    fn codewords_follow_the_definition_term_by_term() {
        // R-BRAID-3: Lagrange's formula, one symbol at a time, with nothing shared.
        let (k, value) = (5, value(5, 1));
        let symbol = |block: usize, s: usize| {
            u16::from_be_bytes([value[32 * block + 2 * s], value[32 * block + 2 * s + 1]])
        };
        for at in [0, 4, 5, 6, 300, MAX_INDEX] {
            let (_, codeword) = codewords(&value, [at])[0];
            for s in 0..16 {
                let sum = (0..k).fold(0, |sum, j| {
                    let basis = (0..k).filter(|m| *m != j).fold(1, |basis, m| {
                        let (j, m) = (j as u16, m as u16);
                        multiply(basis, multiply(at ^ m, invert(j ^ m)))
                    });
                    sum ^ multiply(symbol(j, s), basis)
                });
                assert_eq!(codeword[2 * s..2 * s + 2], sum.to_be_bytes(), "codeword {at}, symbol {s}");
            }
        }
    }

    #[test]
    fn a_published_vector_holds() {
        // R-BRAID-3
        let value: Vec<u8> = (0..96_u32).map(|i| ((7 * i * i + 3) % 256) as u8).collect();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| alloc::format!("{b:02x}")).collect::<String>();
        let codewords = codewords(&value, [3, 4, 65_534]);
        let expected = [
            "034a9f0273f27f1ac37a3f12f3e2dfea032a5fa2f352bf3ac35affb273421f0a",
            "060a5a6e76b2ba76c63afa7ef6a21e0602ea9acef6127a56c61a3ade7602da66",
            "fdaca4d08d1444c83d9c04c00d04243a3dce64700db484e83dbcc4608da424d8",
        ];
        for ((_, codeword), expected) in codewords.iter().zip(expected) {
            assert_eq!(hex(codeword), expected);
        }
        assert_eq!(rebuild(3, &codewords), value);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// R-BRAID-3: any k different codewords, in any order.
        #[test]
        fn any_k_codewords_rebuild_the_value(
            seed in any::<u8>(),
            k in 1..=MAX_BLOCKS,
            numbers in prop::collection::btree_set(
                prop_oneof![0..80_u16, 0..=MAX_INDEX], MAX_BLOCKS..=MAX_BLOCKS
            ).prop_map(|set| set.into_iter().collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let value = value(k, seed);
            prop_assert_eq!(rebuild(k, &codewords(&value, numbers.into_iter().take(k))), value);
        }
    }
}
