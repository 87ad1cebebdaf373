//! Looking for what must not be readable: many needles in all files of a folder, in one pass.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::process::Failure;
use crate::text::hex;

/// Shortest needle, in bytes: eight bytes do not occur by chance in some megabytes of ciphertext.
pub(super) const SHORTEST: usize = 8;
/// Longest form of a marker, in bytes: what is cut into blocks overlaps by so much.
pub(super) const LONGEST: usize = 256;
/// Length of the pieces that a long text is cut into, so that a part of it is found, too.
const PIECE: usize = 16;

/// Something that must not be readable.
#[derive(Debug, Clone)]
struct Marker {
    label: String,
    bytes: Vec<u8>,
}

/// The markers, and where each begins to match.
#[derive(Debug, Default)]
pub(super) struct Markers {
    all: Vec<Marker>,
    forms: Vec<(usize, Vec<u8>)>,
    by_prefix: HashMap<[u8; SHORTEST], Vec<usize>>,
    /// The first two bytes of the prefixes: most positions of a file need no more than this.
    begins: BTreeSet<[u8; 2]>,
}

/// What a search came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that were read.
    pub(super) files: usize,
    /// Bytes that were read.
    pub(super) bytes: u64,
    /// Labels of the markers that occurred, and the files they occurred in.
    pub(super) readable: BTreeSet<String>,
    indices: BTreeSet<usize>,
}

impl Found {
    /// How many different markers occurred.
    pub(super) fn markers(&self) -> usize {
        self.indices.len()
    }

    /// Takes over the result of another search.
    pub(super) fn merge(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.readable.extend(other.readable);
        self.indices.extend(other.indices);
    }
}

impl Markers {
    /// Adds bytes as one marker. What is shorter than [`SHORTEST`] is refused: it would occur by chance.
    pub(super) fn add(&mut self, label: &str, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.len() < SHORTEST {
            return Err(Failure::new(format!("the marker {label} is too short to be looked for")));
        }
        let index = self.all.len();
        for form in [bytes.to_vec(), hex(bytes).into_bytes(), decimals(bytes), utf16(bytes)] {
            let Some(prefix) = form.first_chunk::<SHORTEST>() else { continue };
            if form.len() > LONGEST {
                return Err(Failure::new(format!("the marker {label} is too long to be looked for")));
            }
            self.begins.insert([prefix[0], prefix[1]]);
            self.by_prefix.entry(*prefix).or_default().push(self.forms.len());
            self.forms.push((index, form));
        }
        self.all.push(Marker { label: label.into(), bytes: bytes.into() });
        Ok(())
    }

    /// Adds a text in pieces, the last of which ends where the text ends.
    pub(super) fn add_text(&mut self, label: &str, text: &str) -> Result<(), Failure> {
        let bytes = text.as_bytes();
        let mut pieces: Vec<&[u8]> = bytes.chunks_exact(PIECE).collect();
        pieces.push(bytes.get(bytes.len().saturating_sub(PIECE)..).unwrap_or(bytes));
        pieces.into_iter().try_for_each(|piece| self.add(label, piece))
    }

    /// Adds a file's contents: pieces at its beginning, in its middle and at its end.
    pub(super) fn add_contents(&mut self, label: &str, contents: &[u8]) -> Result<(), Failure> {
        let last = contents.len().saturating_sub(PIECE);
        // Start, middle and end. (A piece of a command line would be found in any program that explains it.)
        for start in [0, last / 2, last] {
            let piece = contents.get(start..).and_then(|rest| rest.get(..PIECE.min(rest.len())));
            self.add(label, piece.unwrap_or_default())?;
        }
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All markers in clear with noise between them, for the control.
    pub(super) fn in_clear(&self) -> Vec<u8> {
        self.all.iter().fold(vec![0xA5; 3], |mut planted, marker| {
            planted.extend(&marker.bytes);
            planted.extend([0x00, 0xFF, 0x5A]);
            planted
        })
    }

    /// Reads every file below `folder`, names included.
    pub(super) fn search(&self, folder: &Path) -> Result<Found, Failure> {
        let mut found = Found::default();
        self.visit(folder, &mut found)?;
        Ok(found)
    }

    fn visit(&self, folder: &Path, found: &mut Found) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::io(folder.display(), &error);
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            self.scan(entry.file_name().as_encoded_bytes(), &path, found);
            if entry.file_type().map_err(failed)?.is_dir() {
                self.visit(&path, found)?;
                continue;
            }
            match std::fs::read(&path) {
                Ok(contents) => {
                    found.files = found.files.saturating_add(1);
                    found.bytes = found.bytes.saturating_add(contents.len() as u64);
                    self.scan(&contents, &path, found);
                }
                // A running process may have removed it since the folder was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::io(path.display(), &error)),
            }
        }
        Ok(())
    }

    /// Notes the markers that occur in `bytes`, which come from `path`.
    pub(super) fn scan(&self, bytes: &[u8], path: &Path, found: &mut Found) {
        let mut begins = vec![false; usize::from(u16::MAX).saturating_add(1)];
        for begin in &self.begins {
            if let Some(slot) = begins.get_mut(usize::from(u16::from_be_bytes(*begin))) {
                *slot = true;
            }
        }
        for (start, window) in bytes.windows(SHORTEST).enumerate() {
            let Some(first) = window.first_chunk::<2>() else { continue };
            if begins.get(usize::from(u16::from_be_bytes(*first))) != Some(&true) {
                continue;
            }
            let Some(forms) = self.by_prefix.get(window) else { continue };
            let rest = bytes.get(start..).unwrap_or_default();
            for (marker, form) in forms.iter().filter_map(|form| self.forms.get(*form)) {
                if rest.starts_with(form) && found.indices.insert(*marker) {
                    let label = self.all.get(*marker).map_or("", |marker| marker.label.as_str());
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    found.readable.insert(format!("{label} in {name}"));
                }
            }
        }
    }
}

/// As `{:?}` prints bytes.
fn decimals(bytes: &[u8]) -> Vec<u8> {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    numbers.join(", ").into_bytes()
}

/// Little-endian UTF-16; what is no text has no such form.
fn utf16(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markers() -> Markers {
        let mut markers = Markers::default();
        markers.add("handle", b"alice.moreau").unwrap();
        markers.add_text("text", "Good morning, the survey is ready for you.").unwrap();
        markers.add_contents("file", &[7; 100]).unwrap();
        markers
    }

    fn search(contents: &[u8]) -> Found {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deeper")).unwrap();
        std::fs::write(folder.path().join("deeper/data"), contents).unwrap();
        markers().search(folder.path()).unwrap()
    }

    #[test]
    fn every_marker_is_found_where_it_was_planted_in_clear() {
        let found = search(&markers().in_clear());
        assert_eq!(found.markers(), markers().len());
        assert_eq!((found.files, found.bytes), (1, markers().in_clear().len() as u64));
    }

    #[test]
    fn a_marker_is_found_in_the_forms_that_logs_use() {
        for leak in ["…616c6963652e6d6f72656175…", "[97, 108, 105, 99, 101, 46, 109, 111, 114, 101, 97, 117]"]
        {
            assert_eq!(search(leak.as_bytes()).markers(), 1, "{leak}");
        }
        assert_eq!(search(&utf16(b"alice.moreau")).markers(), 1);
    }

    #[test]
    fn part_of_a_text_is_enough() {
        assert_eq!(search(b"xx survey is ready for you.").markers(), 1);
        assert_eq!(search(b"Good morning, th").markers(), 1);
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let found = search(&[1; 4096]);
        assert_eq!((found.markers(), found.readable.len()), (0, 0));
    }

    #[test]
    fn a_file_name_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alice.moreau.db"), b"").unwrap();
        assert_eq!(markers().search(folder.path()).unwrap().markers(), 1);
    }

    #[test]
    fn what_would_occur_by_chance_is_refused() {
        assert!(Markers::default().add("short", b"bob").is_err());
    }
}
