//! Which slots are taken, one bit each, so that the lowest empty one is found without reading rows.

use alloc::vec;
use alloc::vec::Vec;

use crate::{GroupError, MAX_SLOTS, RowError, Slot};

const LEN: usize = MAX_SLOTS as usize / 8;

/// The set of taken slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotSet(Vec<u8>);

impl SlotSet {
    pub(crate) fn new() -> Self {
        Self(vec![0; LEN])
    }

    /// Reads what [`Self::to_bytes`] gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, GroupError> {
        if bytes.len() > LEN {
            return Err(RowError.into());
        }
        let mut all = bytes.to_vec();
        all.resize(LEN, 0);
        Ok(Self(all))
    }

    /// Returns the bits without the zeros at the end.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let used = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        self.0.iter().take(used).copied().collect()
    }

    pub(crate) fn set(&mut self, slot: Slot, taken: bool) {
        let (byte, bit) = place(slot);
        if let Some(byte) = self.0.get_mut(byte) {
            *byte = if taken { *byte | bit } else { *byte & !bit };
        }
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        let (byte, bit) = place(slot);
        self.0.get(byte).is_some_and(|byte| byte & bit != 0)
    }

    pub(crate) fn lowest_empty(&self) -> Option<Slot> {
        let (at, byte) = self.0.iter().enumerate().find(|(_, byte)| **byte != u8::MAX)?;
        let bit = usize::try_from(byte.trailing_ones()).ok()?;
        Slot::new(u16::try_from(at.checked_mul(8)?.checked_add(bit)?).ok()?)
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Returns the taken slots in rising order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        // By bytes: a roster is listed often, and most are small.
        let taken = (0..MAX_SLOTS).step_by(8).zip(self.0.iter()).filter(|(_, byte)| **byte != 0);
        let slots = taken.flat_map(|(first, _)| (0..8).filter_map(move |bit| Slot::new(first | bit)));
        slots.filter(|slot| self.contains(*slot))
    }
}

fn place(slot: Slot) -> (usize, u8) {
    (usize::from(slot.get() >> 3), 1 << (slot.get() & 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_empty_slot_is_found_in_gaps_and_at_the_end_r_group_6() {
        let mut slots = SlotSet::new();
        for number in 0..MAX_SLOTS {
            let slot = Slot::new(number).unwrap();
            assert_eq!(slots.lowest_empty(), Some(slot));
            slots.set(slot, true);
        }
        assert_eq!((slots.lowest_empty(), slots.len()), (None, 16_384));
        for number in [9_999, 17, 8] {
            slots.set(Slot::new(number).unwrap(), false);
            assert_eq!(slots.lowest_empty(), Slot::new(number));
        }
        assert_eq!(slots.iter().count(), 16_381);
        assert_eq!(SlotSet::from_bytes(&slots.to_bytes()).unwrap(), slots);
        assert!(SlotSet::from_bytes(&[0; 2_049]).is_err());
        assert!(SlotSet::new().to_bytes().is_empty());
    }
}
