//! The erasure code of the braid, written down from `docs/PROTOCOL.md` (R-BRAID-3): Lagrange's formula, one symbol at a
//! time, with nothing shared and nothing clever.

use serde_json::{Value, json};

use super::book::sample_hex;
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, bytes, hex};

/// Bytes of a codeword.
pub(super) const CODEWORD: usize = 32;

pub(super) const PLANS: &[Plan] = &[("erasure-code", erasure_code)];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "codewords", requirements: &["R-BRAID-3"], compute: compute_codewords },
    Kind { name: "rebuilt-value", requirements: &["R-BRAID-3"], compute: compute_value },
];

/// The product of two elements of the field.
fn multiply(mut a: u16, mut b: u16) -> u16 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        let carry = a & 0x8000 != 0;
        a = (a << 1) ^ if carry { 0x100B } else { 0 };
        b >>= 1;
    }
    product
}

/// The inverse of an element other than 0: its power 2^16 − 2, which is 2 + 4 + … + 2^15.
fn invert(a: u16) -> u16 {
    let (mut power, mut product) = (a, 1);
    for _ in 1..16 {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

/// What the polynomials take at `at` that take the symbols of each codeword at its index.
fn evaluate(known: &[(u16, [u8; CODEWORD])], at: u16) -> [u8; CODEWORD] {
    let mut sum = [0; CODEWORD];
    for (j, codeword) in known {
        let others = || known.iter().map(|(m, _)| *m).filter(|m| m != j);
        let above = others().fold(1, |product, m| multiply(product, at ^ m));
        let below = others().fold(1, |product, m| multiply(product, j ^ m));
        let factor = multiply(above, invert(below));
        for (sum, symbol) in sum.as_chunks_mut::<2>().0.iter_mut().zip(codeword.as_chunks::<2>().0) {
            let term = multiply(factor, u16::from_be_bytes(*symbol));
            *sum = (u16::from_be_bytes(*sum) ^ term).to_be_bytes();
        }
    }
    sum
}

/// Codeword `at` of a value of whole blocks.
pub(super) fn codeword(value: &[u8], at: u16) -> [u8; CODEWORD] {
    let blocks: Vec<_> = (0..).zip(value.as_chunks::<CODEWORD>().0.iter().copied()).collect();
    let block = blocks.iter().find(|(index, _)| *index == at);
    block.map_or_else(|| evaluate(&blocks, at), |(_, block)| *block)
}

/// Rebuilds a value of `k` blocks from its codewords; `None` with fewer than `k` indices.
pub(super) fn rebuild(k: u16, codewords: &[(u16, [u8; CODEWORD])]) -> Option<Vec<u8>> {
    let mut known: Vec<(u16, [u8; CODEWORD])> = Vec::new();
    for (index, codeword) in codewords {
        if known.len() < usize::from(k) && known.iter().all(|(other, _)| other != index) {
            known.push((*index, *codeword));
        }
    }
    let block = |at: u16| {
        let found = known.iter().find(|(index, _)| *index == at);
        found.map_or_else(|| evaluate(&known, at), |(_, codeword)| *codeword)
    };
    (known.len() == usize::from(k)).then(|| (0..k).flat_map(block).collect())
}

fn erasure_code() -> Vec<Draft> {
    // What a side sends when nothing is lost, the first that are no blocks, and the last of all.
    let values = [("header", 3_u16), ("vector", 36), ("ct1", 30), ("ct2", 5)];
    let mut drafts = Vec::new();
    for (name, k) in values {
        let value = sample_hex(&format!("value of a {name}"), usize::from(k) * CODEWORD);
        let indices = [0, k - 1, k, k + 1, 2 * k, 65_534];
        let inputs = json!({ "value": value, "indices": indices });
        drafts.push((format!("codewords-{name}"), "codewords", inputs));
        let whole = bytes(&json!(value)).expect("hex");
        let subsets: [(&str, Vec<u16>); 4] = [
            ("blocks", (0..k).collect()),
            ("one-block-lost", (1..=k).collect()),
            ("no-block", (k..2 * k).rev().collect()),
            ("every-third", (0..k).map(|i| 65_534 - 3 * i).collect()),
        ];
        for (subset, indices) in subsets {
            let codewords: Vec<Value> = indices
                .into_iter()
                .map(|index| json!({ "index": index, "codeword": hex(&codeword(&whole, index)) }))
                .collect();
            let inputs = json!({ "blocks": k, "codewords": codewords });
            drafts.push((format!("rebuilt-value-{name}-{subset}"), "rebuilt-value", inputs));
        }
    }
    // The value that the page names.
    let value: Vec<u8> =
        (0..96_u32).map(|i| u8::try_from((7 * i * i + 3) % 256).unwrap_or_default()).collect();
    let inputs = json!({ "value": hex(&value), "indices": [3, 4, 65_534] });
    drafts.push(("codewords-of-the-page".into(), "codewords", inputs));
    drafts
}

fn index(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|it| u16::try_from(it).ok()).filter(|it| *it <= 65_534)
}

fn compute_codewords(inputs: &Inputs<'_>) -> Computation {
    let value = inputs.bytes("value")?;
    if value.is_empty() || value.len() % CODEWORD != 0 || value.len() > 36 * CODEWORD {
        return Err("inputs.value: 1 to 36 blocks of 32 bytes".into());
    }
    let bad = "inputs.indices: numbers up to 65534";
    let mut codewords = Vec::new();
    for at in inputs.0.get("indices").and_then(Value::as_array).ok_or(bad)? {
        codewords.push(json!(hex(&codeword(&value, index(at).ok_or(bad)?))));
    }
    let mut computed = Computed::default();
    computed.out("codewords", Value::Array(codewords));
    Ok(computed)
}

fn compute_value(inputs: &Inputs<'_>) -> Computation {
    let k = index(&json!(inputs.number("blocks")?)).filter(|k| (1..=36).contains(k));
    let k = k.ok_or("inputs.blocks: 1 to 36")?;
    let bad = "inputs.codewords: index and codeword";
    let mut codewords = Vec::new();
    for entry in inputs.0.get("codewords").and_then(Value::as_array).ok_or(bad)? {
        let codeword = bytes(&entry["codeword"]).and_then(|it| it.try_into().ok()).ok_or(bad)?;
        codewords.push((index(&entry["index"]).ok_or(bad)?, codeword));
    }
    let mut computed = Computed::default();
    let value = rebuild(k, &codewords).ok_or("inputs.codewords: too few different ones")?;
    computed.out("value", &value);
    Ok(computed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_s_codewords_are_those_of_the_book() {
        // R-BRAID-3
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md"));
        let page = page.unwrap();
        let value: Vec<u8> = (0..96_u32).map(|i| u8::try_from((7 * i * i + 3) % 256).unwrap()).collect();
        for at in [3, 4, 65_534] {
            let line = page.lines().find_map(|line| line.strip_prefix(&format!("codeword {at} "))).unwrap();
            assert_eq!(line.trim(), hex(&codeword(&value, at)));
        }
        let codewords = [3, 4, 65_534].map(|at| (at, codeword(&value, at)));
        assert_eq!(rebuild(3, &codewords), Some(value));
        assert_eq!(rebuild(3, &[codewords[0], codewords[1], codewords[0]]), None);
    }
}
